//! Making: what is found becomes Telethon's objects.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDateTime, PyDict, PyTzInfo};

use super::telethon::Telethon;
use crate::entity::{PeerKind, unmark};
use crate::store::UpdateState;

/// The input peer of a marked id.
pub(super) fn input_peer<'py>(
    telethon: &Telethon,
    marked_id: i64,
    hash: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = hash.py();
    match unmark(marked_id) {
        (id, PeerKind::User) => telethon.input_peer_user.bind(py).call1((id, hash)),
        (id, PeerKind::Chat) => telethon.input_peer_chat.bind(py).call1((id,)),
        (id, PeerKind::Channel) => telethon.input_peer_channel.bind(py).call1((id, hash)),
    }
}

/// Telethon's `updates.State`.
pub(super) fn update_state<'py>(py: Python<'py>, state: &UpdateState) -> PyResult<Bound<'py, PyAny>> {
    let utc = PyTzInfo::utc(py)?;
    // Telethon's own error for a state without a date is a TypeError too.
    let date = py.get_type::<PyDateTime>().call_method1(intern!(py, "fromtimestamp"), (state.date, utc))?;
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "pts"), state.pts)?;
    kwargs.set_item(intern!(py, "qts"), state.qts)?;
    kwargs.set_item(intern!(py, "date"), date)?;
    kwargs.set_item(intern!(py, "seq"), state.seq)?;
    kwargs.set_item(intern!(py, "unread_count"), 0)?;
    Telethon::get(py)?.update_state.bind(py).call((), Some(&kwargs))
}
