//! Makes Telethon's objects of what was found.

use py_once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDateTime, PyDict, PyTzInfo};

use crate::telethon::Telethon;
use session_core::entity::{PeerKind, unmark};
use session_core::store::UpdateState;

/// Makes the input peer for a marked ID.
pub(crate) fn input_peer<'py>(
    telethon: &Telethon,
    marked_id: i64,
    access_hash: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = access_hash.py();
    match unmark(marked_id) {
        (id, PeerKind::User) => telethon.input_peer_user.bind(py).call1((id, access_hash)),
        (id, PeerKind::Chat) => telethon.input_peer_chat.bind(py).call1((id,)),
        (id, PeerKind::Channel) => telethon.input_peer_channel.bind(py).call1((id, access_hash)),
    }
}

/// Makes Telethon's `updates.State`.
pub(crate) fn update_state<'py>(py: Python<'py>, state: &UpdateState) -> PyResult<Bound<'py, PyAny>> {
    let utc = PyTzInfo::utc(py)?;
    // Telethon raises a `TypeError` too for a state without a date.
    let date = py.get_type::<PyDateTime>().call_method1(intern!(py, "fromtimestamp"), (state.date, utc))?;
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "pts"), state.pts)?;
    kwargs.set_item(intern!(py, "qts"), state.qts)?;
    kwargs.set_item(intern!(py, "date"), date)?;
    kwargs.set_item(intern!(py, "seq"), state.seq)?;
    kwargs.set_item(intern!(py, "unread_count"), 0)?;
    Telethon::get(py)?.update_state.bind(py).call((), Some(&kwargs))
}
