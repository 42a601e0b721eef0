//! The addresses of Telegram's production data centres, for stores that name a data centre without
//! its address.

/// The port of every data centre.
pub const PORT: u16 = 443;

/// Returns the IPv4 address of a data centre, or `None` if the ID is not one of Telegram's.
///
/// The sources are `DataCenter.PROD` in Pyrogram and kurigram (`session/internals/data_center.py`)
/// and, for data centre 2, `DEFAULT_IPV4_IP` in Telethon, which asks Telegram for the others. Test
/// servers share the IDs 1 to 3, but a file does not tell them apart, and programs that use them
/// set the address themselves. Data centre 203 holds files and no accounts.
#[must_use]
pub fn address(dc_id: i64) -> Option<&'static str> {
    Some(match dc_id {
        1 => "149.154.175.53",
        2 => "149.154.167.51",
        3 => "149.154.175.100",
        4 => "149.154.167.91",
        5 => "91.108.56.130",
        _ => return None,
    })
}
