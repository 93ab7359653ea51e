//! Changing single values inside JSON text and leaving every other byte as it was.

use std::ops::Range;

use serde_json::value::RawValue;

/// Where `part`, which was borrowed from `whole`, stands in it.
pub(super) fn span(whole: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

/// `whole` with `range` replaced by `new`.
pub(super) fn replace(whole: &str, range: Range<usize>, new: &str) -> String {
    let mut out = String::with_capacity(whole.len() + new.len());
    out.push_str(&whole[..range.start]);
    out.push_str(new);
    out.push_str(&whole[range.end..]);
    out
}

/// `object` with `members` (`"a":1,"b":2`) put before its own; what is no object comes back as it was.
pub(super) fn prepend(object: &str, members: &str) -> String {
    let Some(rest) = object.strip_prefix('{').filter(|_| !members.is_empty()) else {
        return object.to_owned();
    };
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    let mut out = String::with_capacity(object.len() + members.len() + 1);
    out.push('{');
    out.push_str(members);
    out.push_str(comma);
    out.push_str(rest);
    out
}

/// `text` as a JSON string with its quotes.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// JSON text that was made of parsed parts, as a raw value; `null` can only come of a defect here.
pub(super) fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_go_first_and_nothing_else_moves() {
        assert_eq!(prepend("{}", "\"a\":1"), "{\"a\":1}");
        assert_eq!(prepend("{ }", "\"a\":1"), "{\"a\":1 }");
        assert_eq!(prepend("{ \"b\" : 2 }", "\"a\":1"), "{\"a\":1, \"b\" : 2 }");
        assert_eq!(prepend("[1]", "\"a\":1"), "[1]");
        assert_eq!(prepend("{\"b\":2}", ""), "{\"b\":2}");
    }

    proptest! {
        #[test]
        fn a_span_finds_its_part_again(before in ".{0,20}", part in ".{1,20}", after in ".{0,20}", new in ".{0,9}") {
            let whole = format!("{before}{part}{after}");
            let slice = &whole[before.len()..before.len() + part.len()];
            let range = span(&whole, slice);
            prop_assert_eq!(&whole[range.clone()], part.as_str());
            prop_assert_eq!(replace(&whole, range, &new), format!("{before}{new}{after}"));
        }

        #[test]
        fn quoting_is_json(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
        }
    }
}
