//! Bearer tokens and API keys: of all texts, those that were issued alone are good, in their one spelling.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use crate::world::WORLD;

/// The first byte says what the rest is: a credential, changes to a good one, or the head of a token.
///
/// # Panics
/// When a text is good that was not issued, or not good in one of its two headers.
pub fn check(data: &[u8]) {
    let Some((form, rest)) = data.split_first() else { return };
    let text = match form % 4 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        1 => changed(&WORLD.key, rest),
        2 => changed(&WORLD.token, rest),
        _ => with_head(&WORLD.token, rest),
    };
    let issued = text == WORLD.key || text == WORLD.token;
    let Ok(bearer) = HeaderValue::try_from(format!("Bearer {text}")) else { return };
    let as_bearer = WORLD.authenticate(HeaderMap::from_iter([(AUTHORIZATION, bearer)]));
    assert_eq!(as_bearer.is_some(), issued, "{text:?}");
    let Ok(value) = HeaderValue::try_from(&text) else { return };
    let name = http::HeaderName::from_static("x-api-key");
    let as_key = WORLD.authenticate(HeaderMap::from_iter([(name, value)]));
    // Of an empty header nobody can say whether it is one.
    assert_eq!(as_key, as_bearer, "{text:?}");
    if let Some(identity) = as_bearer {
        assert_eq!(identity.tenant.as_str(), "acme");
        assert_eq!(identity.principal.id.as_str(), "robot");
    }
}

/// The good credential with bytes replaced, inserted or left out, where pairs of bytes say.
fn changed(good: &str, changes: &[u8]) -> String {
    let mut bytes = good.as_bytes().to_vec();
    for change in changes.chunks_exact(3).take(4) {
        let [place, how, byte] = [change[0], change[1], change[2]];
        // Places count from both ends, so that a signature's last letter is near.
        let place = usize::from(place & 0x7f) * bytes.len() / 128;
        let place = if change[0] & 0x80 == 0 { place } else { bytes.len().saturating_sub(place + 1) };
        match how % 3 {
            0 if place < bytes.len() => bytes[place] = byte,
            1 => bytes.insert(place.min(bytes.len()), byte),
            2 if place < bytes.len() => drop(bytes.remove(place)),
            _ => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The good token under another head.
fn with_head(good: &str, head: &[u8]) -> String {
    let (_, rest) = good.split_once('.').unwrap_or_default();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(head))
}
