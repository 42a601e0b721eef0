//! The text form of a login, Telethon's `StringSession`: pure functions over bytes.
//!
//! A string is `1` and the url-safe base64 of, big-endian, `dc (1) | ip (4 or 16) | port (2) | key (256)`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeSliceError, Engine as _};
use zeroize::Zeroizing;

/// The one version of string there is.
pub const VERSION: char = '1';
/// The length of an authorization key, in bytes.
pub const KEY_LEN: usize = 256;

const V4_LEN: usize = 1 + 4 + 2 + KEY_LEN;
const V6_LEN: usize = 1 + 16 + 2 + KEY_LEN;

/// Url-safe, padded; bits past the last byte are not looked at, as in Python.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Why a text is no string session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StringError {
    /// It does not begin with the version.
    #[error("Not a valid string: a string session begins with '{VERSION}'")]
    Version,
    /// It is not base64.
    #[error("Not a valid string: {0} (was all of it copied?)")]
    Base64(String),
    /// It is base64 of something else.
    #[error("Not a valid string: {0} bytes where a string session has {V4_LEN} or {V6_LEN} (was all of it copied?)")]
    Length(usize),
    /// GramJS begins its strings with `1` too, but writes the address as text.
    #[error("Not a valid string: this is a session string of GramJS, which Telethon cannot read")]
    GramJs,
}

/// A login: where to connect, and the key. The key is wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The data centre's number.
    pub dc_id: u8,
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// The authorization key; all zeros where there is none.
    pub key: Zeroizing<[u8; KEY_LEN]>,
}

impl Login {
    /// The bytes that the text encodes.
    #[must_use]
    pub fn pack(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(V6_LEN));
        bytes.push(self.dc_id);
        match self.ip {
            IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
        }
        bytes.extend_from_slice(&self.port.to_be_bytes());
        bytes.extend_from_slice(&*self.key);
        bytes
    }

    /// The login in the bytes that a text encodes.
    ///
    /// # Errors
    /// [`StringError::GramJs`] or [`StringError::Length`] where the bytes are something else.
    pub fn unpack(bytes: &[u8]) -> Result<Self, StringError> {
        if is_gram_js(bytes) {
            return Err(StringError::GramJs);
        }
        let wrong = || StringError::Length(bytes.len());
        let (&dc_id, rest) = bytes.split_first().ok_or_else(wrong)?;
        let (ip, rest): (IpAddr, _) = match bytes.len() {
            V4_LEN => {
                let (ip, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
                (Ipv4Addr::from(*ip).into(), rest)
            }
            V6_LEN => {
                let (ip, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
                (Ipv6Addr::from(*ip).into(), rest)
            }
            _ => return Err(wrong()),
        };
        let (port, key) = rest.split_first_chunk::<2>().ok_or_else(wrong)?;
        let key = key.try_into().map_err(|_| wrong())?;
        Ok(Self { dc_id, ip, port: u16::from_be_bytes(*port), key: Zeroizing::new(key) })
    }

    /// Whether there is a key: one of zeros is none.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.iter().any(|byte| *byte != 0)
    }
}

/// Whether the bytes are laid out as GramJS does it: `dc (1) | length (2) | address as text | port (2) | key (256)`.
///
/// An address of 14 characters makes them exactly as long as one of ours with IPv6, so the length does not tell.
fn is_gram_js(bytes: &[u8]) -> bool {
    let Some(([_dc, high, low], rest)) = bytes.split_first_chunk::<3>() else { return false };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let is_text = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-');
    rest.len() == length + 2 + KEY_LEN && length >= 4 && rest.iter().take(length).all(is_text)
}

/// Url-safe base64 of the bytes, padded.
#[must_use]
pub fn encode(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(BASE64.encode(bytes))
}

/// The bytes of url-safe, padded base64.
///
/// # Errors
/// [`StringError::Base64`] where it is not that.
pub fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, StringError> {
    // Into memory of our own, which is wiped even if it turns out to be no base64 in the end.
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let length = BASE64.decode_slice(text, &mut bytes).map_err(|error| match error {
        DecodeSliceError::DecodeError(error) => StringError::Base64(error.to_string()),
        too_small @ DecodeSliceError::OutputSliceTooSmall => StringError::Base64(too_small.to_string()),
    })?;
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(ip: IpAddr) -> Login {
        Login { dc_id: 2, ip, port: 443, key: Zeroizing::new([7; KEY_LEN]) }
    }

    #[test]
    fn comes_back_as_it_was() {
        for ip in [IpAddr::from([149, 154, 167, 51]), "2001:67c:4e8:f002::a".parse().unwrap()] {
            let text = encode(&login(ip).pack());
            assert_eq!(text.len(), if ip.is_ipv4() { 352 } else { 368 });
            let back = Login::unpack(&decode(&text).unwrap()).unwrap();
            assert!(back == login(ip) && back.has_key());
        }
    }

    #[test]
    fn every_other_length_is_refused() {
        for length in (0..400).filter(|length| ![V4_LEN, V6_LEN].contains(length)) {
            assert_eq!(Login::unpack(&vec![200; length]).err(), Some(StringError::Length(length)));
        }
    }

    #[test]
    fn gram_js_is_told_apart_even_where_the_length_is_ours() {
        for address in ["149.154.167.51", "91.108.56.1", "venus.web.telegram.org"] {
            let mut bytes = vec![2, 0, u8::try_from(address.len()).unwrap()];
            bytes.extend_from_slice(address.as_bytes());
            bytes.extend_from_slice(&[1; 2 + KEY_LEN]);
            assert_eq!(Login::unpack(&bytes).err(), Some(StringError::GramJs));
        }
    }

    #[test]
    fn text_that_is_no_base64_is_refused() {
        for text in ["a", "a===", "ab+/", "ab cd", "абвг", "ab"] {
            assert!(matches!(decode(text), Err(StringError::Base64(_))), "{text}");
        }
    }
}
