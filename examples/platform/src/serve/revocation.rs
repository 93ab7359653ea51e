//! Lists of client certificates that their authorities revoked, from PEM files.

use std::path::{Path, PathBuf};

use mcp_core::{Error, Result, clock::Timestamp};
use rustls::pki_types::{CertificateRevocationListDer, pem::PemObject as _};

/// The lists of some files, all of which hold now.
#[derive(Debug, Default)]
pub(super) struct RevocationLists {
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    /// The file of the list that ends first, and when it does.
    pub(super) first_to_end: Option<(PathBuf, Timestamp)>,
}

impl RevocationLists {
    /// Reads the files.
    ///
    /// # Errors
    /// `InvalidInput` that names the file which cannot be read, holds no list, or one that has expired at `now`.
    pub(super) fn read(files: &[PathBuf], now: Timestamp) -> Result<Self> {
        let mut read = Self::default();
        for file in files {
            let lists: Vec<_> = CertificateRevocationListDer::pem_file_iter(file)
                .and_then(Iterator::collect)
                .map_err(|error| refuse(file, &format!("no PEM revocation lists: {error}")))?;
            if lists.is_empty() {
                return Err(refuse(file, "holds no revocation list"));
            }
            for list in lists {
                let ends = next_update(&list)
                    .ok_or_else(|| refuse(file, "holds a revocation list that does not say when it ends"))?;
                if ends <= now {
                    let why = format!("holds a revocation list that ended at {ends}; get the next one");
                    return Err(refuse(file, &why));
                }
                if read.first_to_end.as_ref().is_none_or(|(_, first)| ends < *first) {
                    read.first_to_end = Some((file.clone(), ends));
                }
                read.lists.push(list);
            }
        }
        Ok(read)
    }
}

pub(super) fn refuse(path: &Path, why: &str) -> Error {
    Error::invalid_input("tls.load", format!("{}: {why}", path.display()))
}

/// `nextUpdate` of RFC 5280 §5.1.2.5. What verifies with the list reads it too, and keeps it to itself.
fn next_update(list: &[u8]) -> Option<Timestamp> {
    const INTEGER: u8 = 0x02;
    let (_, list, _) = element(list)?;
    let (_, signed, _) = element(list)?;
    let (tag, _, rest) = element(signed)?;
    // The version may be left out; then that was the algorithm.
    let rest = if tag == INTEGER { element(rest)?.2 } else { rest };
    let (_, _issuer, rest) = element(rest)?;
    let (_, _this_update, rest) = element(rest)?;
    let (tag, text, _) = element(rest)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// The first DER element: its tag and content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// A `UTCTime`, of the years 1950 to 2049, or a `GeneralizedTime`, both to the second and in UTC.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z').filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match (tag, text.len()) {
        (0x17, 12) => {
            let century = if &text[..2] < "50" { "20" } else { "19" };
            (format!("{century}{}", &text[..2]), &text[2..])
        }
        (0x18, 14) => (text[..4].to_owned(), &text[4..]),
        _ => return None,
    };
    let part = |at: usize| &rest[at..at + 2];
    let rfc3339 = format!("{year}-{}-{}T{}:{}:{}Z", part(0), part(2), part(4), part(6), part(8));
    serde_json::from_value(rfc3339.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms_and_nothing_else_is_one() {
        let at = |text: &str| serde_json::from_value::<Timestamp>(text.into()).ok();
        assert_eq!(time(0x17, "261128032000Z"), at("2026-11-28T03:20:00Z"));
        assert_eq!(time(0x17, "501128032000Z"), at("1950-11-28T03:20:00Z"));
        assert_eq!(time(0x18, "20501128032000Z"), at("2050-11-28T03:20:00Z"));
        assert!(at("2050-11-28T03:20:00Z").is_some());
        for (tag, text) in [
            (0x17, "20501128032000Z"),
            (0x18, "261128032000Z"),
            (0x17, "261128032000"),
            (0x17, "2611280320Z"),
            (0x17, "26112803200\u{e9}Z"),
            (0x17, "269928032000Z"),
            (0x02, "261128032000Z"),
        ] {
            assert_eq!(time(tag, text), None, "{text}");
        }
    }

    #[test]
    fn no_prefix_of_a_list_is_one() {
        let der = [0x30, 0x06, 0x30, 0x04, 0x30, 0x00, 0x30, 0x00];
        for length in 0..=der.len() {
            assert_eq!(next_update(&der[..length]), None);
        }
        assert_eq!(element(&[0x30, 0x85, 0, 0, 0, 0, 0]), None, "a length of five bytes");
        assert_eq!(element(&[0x30, 0x80]), None, "an indefinite length");
    }
}
