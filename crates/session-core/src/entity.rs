//! Entities, the kinds of peers they are, and the marked IDs that identify them.

/// Added to a channel's ID before it is negated.
pub const CHANNEL_MARK: i64 = 1_000_000_000_000;

/// The largest ID that Telethon considers unmarked when it marks a chat or a channel.
const LARGEST_BARE_ID: i64 = 9_999_999_999;

/// The three kinds of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// A person or a bot: the marked ID is the ID.
    User,
    /// A basic group: the marked ID is `-id`.
    Chat,
    /// A channel or supergroup: the marked ID is `-(1000000000000 + id)`.
    Channel,
}

impl PeerKind {
    /// Returns the marked ID of the peer of this kind, or `None` if it does not fit into 64 bits.
    ///
    /// The ID of a chat or channel outside `1..=9999999999` is considered marked and is unmarked
    /// first, as `telethon.utils.get_peer_id` does.
    #[must_use]
    pub fn mark(self, id: i64) -> Option<i64> {
        let bare = |id: i64| if (1..=LARGEST_BARE_ID).contains(&id) { id } else { unmark(id).0 };
        match self {
            Self::User => Some(id),
            Self::Chat => bare(id).checked_neg(),
            Self::Channel => bare(id).checked_add(CHANNEL_MARK)?.checked_neg(),
        }
    }
}

/// Returns the marked ID that [`unmark`] turns into this ID and kind, or `None` if there is none.
#[must_use]
pub fn mark_strictly(id: i64, kind: PeerKind) -> Option<i64> {
    let marked_id = match kind {
        PeerKind::User => id,
        PeerKind::Chat => id.checked_neg()?,
        PeerKind::Channel => CHANNEL_MARK.checked_neg()?.checked_sub(id)?,
    };
    Some(marked_id).filter(|marked_id| unmark(*marked_id) == (id, kind))
}

/// Returns the ID and the kind of peer for a marked ID.
#[must_use]
pub fn unmark(marked_id: i64) -> (i64, PeerKind) {
    const MARK: u64 = CHANNEL_MARK.unsigned_abs();
    if marked_id >= 0 {
        return (marked_id, PeerKind::User);
    }
    // Both differences fit: the most negative ID is a channel's, and 2^63 less the mark is below
    // 2^63.
    match marked_id.unsigned_abs() {
        id @ 0..=MARK => (id.cast_signed(), PeerKind::Chat),
        id => ((id - MARK).cast_signed(), PeerKind::Channel),
    }
}

/// The ID under which the client keeps its own ID. It is not an entity.
pub const SELF: i64 = 0;

/// Returns the marked IDs that an ID of unknown kind may mean, lowest first.
#[must_use]
pub fn candidates(id: i64) -> [Option<i64>; 3] {
    let mut ids = [PeerKind::User, PeerKind::Chat, PeerKind::Channel].map(|kind| kind.mark(id));
    ids.sort_unstable();
    ids
}

/// What a session keeps of a user, chat or channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entity<'a> {
    /// The marked ID.
    pub id: i64,
    /// The access hash; 0 for basic groups. Only a session in memory accepts `None`.
    pub access_hash: Option<i64>,
    /// The username in lower case.
    pub username: Option<&'a str>,
    /// The phone number as it was received.
    pub phone: Option<&'a str>,
    /// The display name.
    pub name: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_unmarks() {
        for (kind, id, marked) in [
            (PeerKind::User, 7, 7),
            (PeerKind::Chat, 7, -7),
            (PeerKind::Channel, 7, -1_000_000_000_007),
            (PeerKind::Channel, 9_999_999_999, -1_009_999_999_999),
        ] {
            assert_eq!(kind.mark(id), Some(marked));
            assert_eq!(unmark(marked), (id, kind));
        }
        assert_eq!(PeerKind::Channel.mark(-1_000_000_000_007), Some(-1_000_000_000_007));
        assert_eq!(PeerKind::Chat.mark(-7), Some(-7));
        assert_eq!(unmark(-CHANNEL_MARK), (CHANNEL_MARK, PeerKind::Chat));
        assert_eq!(unmark(i64::MIN), (i64::MAX - CHANNEL_MARK + 1, PeerKind::Channel));
        assert_eq!(PeerKind::Channel.mark(i64::MAX), None);
    }

    #[test]
    fn marks_strictly_what_unmarks_again() {
        for marked_id in [0, 7, i64::MAX, -1, -7, -CHANNEL_MARK, -CHANNEL_MARK - 1, -CHANNEL_MARK - 7, i64::MIN] {
            let (id, kind) = unmark(marked_id);
            assert_eq!(mark_strictly(id, kind), Some(marked_id));
        }
        for id in [0, -7, i64::MIN, i64::MAX] {
            assert_eq!(mark_strictly(id, PeerKind::Chat), None);
            assert_eq!(mark_strictly(id, PeerKind::Channel), None);
        }
        assert_eq!(mark_strictly(-7, PeerKind::User), None);
        assert_eq!(mark_strictly(CHANNEL_MARK + 1, PeerKind::Chat), None);
    }

    #[test]
    fn an_id_of_unsaid_kind_is_looked_for_as_the_lowest_first() {
        assert_eq!(candidates(5), [Some(-1_000_000_000_005), Some(-5), Some(5)]);
    }
}
