//! Seals keys and opens them again.
//!
//! A sealed key is a version byte, a nonce and the ciphertext with its tag. The key is padded before
//! it is encrypted, so that a sealed key is longer than any key: an authorization key has 256 bytes.

use std::fmt::{self, Debug};

use chacha20poly1305::aead::{AeadInOut as _, Generate as _, KeyInit as _};
use chacha20poly1305::{Key, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

/// The length of an encryption key.
pub const KEY_LEN: usize = 32;

const VERSION: u8 = 1;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
/// The least length of what is encrypted: an authorization key, and the mark of its end.
const PADDED_LEN: usize = 257;
const END: u8 = 0x80;
const LEAST_LEN: usize = 1 + NONCE_LEN + PADDED_LEN + TAG_LEN;

/// Whose keys they are. Sealed keys of another owner cannot be opened.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// A session file. All files have one owner: a file may be renamed, moved and copied, and holds
    /// nothing else that stays and is its own.
    File,
    /// The session with this name on a server.
    Session(&'a str),
}

/// The encryption keys of a session: the first one seals, and all of them open. There may be none.
///
/// They are wiped from memory when dropped.
#[derive(Clone)]
pub struct Keyring {
    ciphers: Vec<XChaCha20Poly1305>,
    associated_data: Vec<u8>,
}

/// Why a sealed key cannot be opened, or none can be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no encryption key.
    NoKey,
    /// None of the encryption keys is the right one; or the owner is another; or it is damaged.
    WrongKey,
    /// The system has no random numbers, or the key is too long.
    CannotSeal,
}

/// A key that was opened.
pub(crate) struct Opened {
    pub(crate) key: Zeroizing<Vec<u8>>,
    /// Whether it is stored as this keyring would store it.
    pub(crate) is_current: bool,
}

impl Debug for Keyring {
    /// Shows how many keys there are, but not the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.ciphers.len()).finish_non_exhaustive()
    }
}

/// Returns `true` if a stored key is sealed.
#[must_use]
pub fn is_sealed(stored: &[u8]) -> bool {
    stored.first() == Some(&VERSION) && stored.len() >= LEAST_LEN
}

impl Keyring {
    /// Makes a keyring of encryption keys.
    #[must_use]
    pub fn new<'k>(keys: impl IntoIterator<Item = &'k [u8; KEY_LEN]>, owner: Owner<'_>) -> Self {
        let keys: Vec<_> = keys.into_iter().collect();
        // It does not grow: the memory that it left would hold keys.
        let ciphers = keys.into_iter().map(|key| XChaCha20Poly1305::new(<&Key>::from(key))).collect();
        let associated_data = match owner {
            Owner::File => b"telethon-session-rust auth key of a file".to_vec(),
            Owner::Session(name) => [b"telethon-session-rust auth key of session ", name.as_bytes()].concat(),
        };
        Self { ciphers, associated_data }
    }

    /// Returns `true` if there is no encryption key. Keys are then stored as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ciphers.is_empty()
    }

    /// Returns the form in which a key is stored, as [`seal`](Self::seal) does; `None` if the system
    /// has no random numbers.
    #[must_use]
    pub fn to_stored(&self, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.seal(key).ok()
    }

    /// Returns the key that is stored in a form, sealed or not; `None` if it cannot be opened.
    #[must_use]
    pub fn from_stored(&self, stored: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.open(stored).ok().map(|opened| opened.key)
    }

    /// Returns the form in which a key is stored. Each sealing is another one. An empty key, which
    /// means none, stays empty.
    pub(crate) fn seal(&self, key: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let Some(cipher) = self.ciphers.first().filter(|_| !key.is_empty()) else {
            return Ok(Zeroizing::new(key.to_vec()));
        };
        let nonce = XNonce::try_generate().map_err(|_| Failure::CannotSeal)?;
        let padded_len = PADDED_LEN.max(key.len() + 1);
        // It must not grow: the memory that it left would hold the key.
        let mut sealed = Zeroizing::new(Vec::with_capacity(1 + NONCE_LEN + padded_len + TAG_LEN));
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        let begin = sealed.len();
        sealed.extend_from_slice(key);
        sealed.push(END);
        sealed.resize(begin + padded_len, 0);
        let encrypted = cipher.encrypt_inout_detached(&nonce, &self.associated_data, sealed[begin..].as_mut().into());
        let tag = encrypted.map_err(|_| Failure::CannotSeal)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens a stored key, which need not be sealed.
    pub(crate) fn open(&self, stored: &[u8]) -> Result<Opened, Failure> {
        if !is_sealed(stored) {
            let is_current = stored.is_empty() || self.is_empty();
            return Ok(Opened { key: Zeroizing::new(stored.to_vec()), is_current });
        }
        if self.is_empty() {
            return Err(Failure::NoKey);
        }
        let (head, tag) = stored.split_at(stored.len() - TAG_LEN);
        let (nonce, encrypted) = head[1..].split_at(NONCE_LEN);
        let nonce = XNonce::try_from(nonce).map_err(|_| Failure::WrongKey)?;
        let tag = Tag::try_from(tag).map_err(|_| Failure::WrongKey)?;
        let mut key = Zeroizing::new(encrypted.to_vec());
        for (at, cipher) in self.ciphers.iter().enumerate() {
            let buffer = key.as_mut_slice().into();
            if cipher.decrypt_inout_detached(&nonce, &self.associated_data, buffer, &tag).is_ok() {
                let end = key.iter().rposition(|byte| *byte != 0).filter(|end| key[*end] == END);
                key.truncate(end.ok_or(Failure::WrongKey)?);
                return Ok(Opened { key, is_current: at == 0 });
            }
            key.copy_from_slice(encrypted);
        }
        Err(Failure::WrongKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [u8; KEY_LEN] = [1; KEY_LEN];
    const TWO: [u8; KEY_LEN] = [2; KEY_LEN];

    fn ring(keys: &[[u8; KEY_LEN]]) -> Keyring {
        Keyring::new(keys, Owner::File)
    }

    #[test]
    fn a_sealed_key_is_opened_again_and_longer_than_any_key() {
        for len in [1, 7, 255, 256, 257, 300, 5000] {
            // Also keys that end as the padding does, or begin as a sealed key.
            for byte in [0, END, VERSION] {
                let key = vec![byte; len];
                let sealed = ring(&[ONE]).seal(&key).unwrap();
                assert!(is_sealed(&sealed) && sealed.len() >= LEAST_LEN);
                assert!(!is_sealed(&key) || len >= LEAST_LEN);
                let opened = ring(&[ONE]).open(&sealed).unwrap();
                assert!(*opened.key == key && opened.is_current, "{len}");
            }
        }
        assert!(ring(&[ONE]).seal(b"").unwrap().is_empty());
    }

    #[test]
    fn each_sealing_is_another_one() {
        assert_ne!(ring(&[ONE]).seal(&[7; 256]).unwrap(), ring(&[ONE]).seal(&[7; 256]).unwrap());
    }

    #[test]
    fn all_keys_open_and_the_first_one_seals() {
        let old = ring(&[ONE]).seal(&[7; 256]).unwrap();
        let opened = ring(&[TWO, ONE]).open(&old).unwrap();
        assert!(*opened.key == [7; 256] && !opened.is_current);
        let new = ring(&[TWO, ONE]).seal(&opened.key).unwrap();
        assert_eq!(ring(&[ONE]).open(&new).map(drop).unwrap_err(), Failure::WrongKey);
        assert!(ring(&[TWO]).open(&new).unwrap().is_current);
    }

    #[test]
    fn another_owner_cannot_open_it() {
        let sealed = Keyring::new([&ONE], Owner::Session("anna")).seal(&[7; 256]).unwrap();
        for owner in [Owner::File, Owner::Session("ann"), Owner::Session("annab"), Owner::Session("")] {
            assert_eq!(Keyring::new([&ONE], owner).open(&sealed).map(drop).unwrap_err(), Failure::WrongKey);
        }
        assert!(Keyring::new([&ONE], Owner::Session("anna")).open(&sealed).is_ok());
    }

    #[test]
    fn no_byte_can_be_changed() {
        let sealed = ring(&[ONE]).seal(&[7; 256]).unwrap();
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            // Without the version byte it is not a sealed key, and is returned as it is.
            assert!(ring(&[ONE]).open(&other).is_ok() == (at == 0), "{at}");
        }
        for len in 1..sealed.len() {
            assert!(!is_sealed(&sealed[..len]));
        }
    }

    #[test]
    fn plain_keys_are_read_and_out_of_date() {
        let opened = ring(&[ONE]).open(&[7; 256]).unwrap();
        assert!(*opened.key == [7; 256] && !opened.is_current);
        assert!(ring(&[]).open(&[7; 256]).unwrap().is_current);
        assert_eq!(*ring(&[]).seal(&[7; 256]).unwrap(), [7; 256]);
        let sealed = ring(&[ONE]).seal(&[7; 256]).unwrap();
        assert_eq!(ring(&[]).open(&sealed).map(drop).unwrap_err(), Failure::NoKey);
    }

    #[test]
    fn keys_are_not_shown() {
        assert_eq!(format!("{:?}", ring(&[ONE, TWO])), "Keyring { keys: 2, .. }");
    }
}
