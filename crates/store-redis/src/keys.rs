//! The keys of a session, version 1 of our layout.
//!
//! All keys of one session share a hash tag, so that they live on one node of a cluster:
//!
//! | key | type | contents |
//! |---|---|---|
//! | `telethon-session:{NAME}:login` | hash | `layout` (1), `dc_id`, `server_address`, `port`, `auth_key`, `takeout_id`, `tmp_auth_key`, `adopted`, `forgettings` |
//! | `…:entities` | hash | marked ID → [row](crate::row) |
//! | `…:usernames`, `…:phones`, `…:names` | hash | text → marked IDs, separated by spaces |
//! | `…:states` | hash | ID → `pts qts date seq` |
//! | `…:files` | hash | `{md5 in hex}_{size}_{document or photo}` → `id access_hash` |
//! | `…:lease` | string with a TTL | `fence owner` |
//! | `…:fence` | string | the number of the last lease |
//! | `…:writer:ID` | string with a TTL | the number of the last [attempt](store_net::Attempt) of a writer |
//! | `…:deleted` | string | the SHA-1 of the adopted authorization key of a session that was deleted |

use std::fmt::Write;

/// The keys of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) login: String,
    pub(crate) entities: String,
    /// By [`TextField`](session_core::entity_table::TextField).
    pub(crate) indexes: [String; 3],
    pub(crate) states: String,
    pub(crate) files: String,
    pub(crate) lease: String,
    pub(crate) fence: String,
    pub(crate) deleted: String,
    writer: String,
}

impl Keys {
    /// Returns the keys of a session.
    pub(crate) fn new(prefix: &str, session: &str) -> Self {
        let session = escape(session);
        let key = |suffix: &str| format!("{prefix}:{{{session}}}:{suffix}");
        Self {
            login: key("login"),
            entities: key("entities"),
            indexes: ["usernames", "phones", "names"].map(key),
            states: key("states"),
            files: key("files"),
            lease: key("lease"),
            fence: key("fence"),
            deleted: key("deleted"),
            writer: key("writer"),
        }
    }

    /// Returns the keys that the scripts `commit` and `delete` expect.
    pub(crate) fn stored(&self) -> [&str; 8] {
        let [usernames, phones, names] = &self.indexes;
        [&self.login, &self.entities, usernames, phones, names, &self.states, &self.files, &self.fence]
            .map(|key| &**key)
    }

    /// Returns the key for the attempts of a writer.
    pub(crate) fn writer(&self, writer: u64) -> String {
        format!("{}:{writer:x}", self.writer)
    }
}

/// Returns a name in which only letters, digits and some harmless characters are left.
///
/// Braces would change the hash tag, and an empty tag is not one.
fn escape(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_alphanumeric() || "._-+@:".contains(character) {
            escaped.push(character);
        } else {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                // Writing to a string does not fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

/// Returns the name that was escaped, or `None` if it was not.
fn unescape(escaped: &str) -> Option<String> {
    if escaped == "%" {
        return Some(String::new());
    }
    let name = percent_encoding::percent_decode_str(escaped).decode_utf8().ok()?.into_owned();
    (escape(&name) == escaped).then_some(name)
}

/// Returns the pattern of all keys with a suffix.
pub(crate) fn pattern(prefix: &str, suffix: &str) -> String {
    format!("{}:{{*}}:{suffix}", escape_glob(prefix))
}

/// Returns the session whose key this is.
pub(crate) fn session_of(key: &[u8], prefix: &str, suffix: &str) -> Option<String> {
    let key = std::str::from_utf8(key).ok()?;
    let name = key.strip_prefix(prefix)?.strip_prefix(":{")?.strip_suffix(suffix)?.strip_suffix("}:")?;
    unescape(name)
}

/// Returns a pattern that matches only this text.
pub(crate) fn escape_glob(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if "*?[]\\^-".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 12] =
        ["", "anon", "%", "a b", "{}", "{a}", "a}:login", "*?[a-z]\\", "Анна", "\u{1f600}\0\n", "a%20b", "user:1@x"];

    #[test]
    fn names_come_back_and_stay_apart() {
        let mut keys: Vec<String> = Vec::new();
        for name in NAMES {
            let login = Keys::new("telethon-session", name).login;
            assert_eq!(session_of(login.as_bytes(), "telethon-session", "login").as_deref(), Some(name), "{login}");
            assert_eq!(login.matches(['{', '}']).count(), 2, "{login}");
            assert!(!login.contains("{}") && !login.contains(['*', '?', '[', '\\', ' ']), "{login}");
            keys.push(login);
        }
        keys.dedup();
        assert_eq!(keys.len(), NAMES.len());
    }

    #[test]
    fn other_keys_are_no_sessions() {
        for key in
            ["telethon-session:{a b}:login", "telethon-session:{a%2}:login", "x:{a}:login", "telethon-session:{a}"]
        {
            assert_eq!(session_of(key.as_bytes(), "telethon-session", "login"), None, "{key}");
        }
        assert_eq!(session_of(b"telethon-session:{\xff}:login", "telethon-session", "login"), None);
    }

    #[test]
    fn patterns_are_escaped() {
        assert_eq!(escape_glob("a*[b]"), "a\\*\\[b\\]");
        assert_eq!(pattern("bots", "login"), "bots:{*}:login");
    }
}
