//! What may be remembered and asked.

use mcp_core::{Error, ErrorKind, Result, error::Detail};

use super::{NewMemory, Recall};

/// Largest text, query and metadata, in bytes.
const MOST: usize = 8 * 1024;
/// Most memories recalled at once.
pub(super) const MOST_HITS: u32 = 100;
/// Most words of a query that count: each is a bit of what a memory holds.
pub(super) const MOST_WORDS: usize = u64::BITS as usize;

/// Checks a memory; gives its metadata as JSON.
pub(super) fn memory(new: &NewMemory) -> Result<String> {
    text("memory.remember", "text", &new.text)?;
    let metadata = serde_json::to_string(&new.metadata).map_err(|error| {
        Error::internal("memory.remember", "the metadata has no JSON form").with_source(error)
    })?;
    within("memory.remember", "metadata", metadata.len())?;
    Ok(metadata)
}

/// Checks the vector that is kept with a memory.
pub(super) fn vector(vector: Option<(&str, &[f32])>) -> Result<()> {
    let complaint = match vector {
        Some((_, [])) => "is empty",
        Some((_, numbers)) if numbers.iter().any(|number| !number.is_finite()) => {
            "holds what is no finite number"
        }
        _ => return Ok(()),
    };
    Err(field(Error::invalid_input("memory.remember", format!("the vector {complaint}")), "vector"))
}

pub(super) fn recall(recall: &Recall) -> Result<()> {
    text("memory.recall", "query", &recall.query)?;
    if (1..=MOST_HITS).contains(&recall.limit) {
        return Ok(());
    }
    let error = Error::invalid_input("memory.recall", format!("`limit` must be 1 to {MOST_HITS}"));
    Err(field(error, "limit"))
}

/// The words of a query, for both databases' text search: none of its operators can be among them.
pub(super) fn words(query: &str) -> Vec<String> {
    let mut words: Vec<String> = all_words(query).take(MOST_WORDS).collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// Every word of a text.
pub(super) fn all_words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase)
}

fn text(operation: &'static str, path: &'static str, text: &str) -> Result<()> {
    within(operation, path, text.len())?;
    let complaint = if text.trim().is_empty() {
        "is empty"
    } else if text.contains('\0') {
        "holds the character NUL"
    } else {
        return Ok(());
    };
    Err(field(Error::invalid_input(operation, format!("`{path}` {complaint}")), path))
}

fn within(operation: &'static str, path: &'static str, bytes: usize) -> Result<()> {
    if bytes <= MOST {
        return Ok(());
    }
    let error = Error::new(ErrorKind::TooLarge, operation, format!("`{path}` may have {MOST} bytes"));
    Err(field(error.with_detail(Detail::Limit { bytes: MOST as u64 }), path))
}

fn field(error: Error, path: &'static str) -> Error {
    error.with_detail(Detail::Field { path: path.to_owned(), nearest: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_operator_of_a_text_search_is_a_word() {
        assert_eq!(words("\"a\" OR b* NEAR(c, d) -e:f '; --"), ["a", "b", "c", "d", "e", "f", "near", "or"]);
        assert!(words("!!! ***").is_empty());
    }
}
