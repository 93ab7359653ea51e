//! Aggregate lists: pages over several servers.

use mcp_core::Scope;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    cursor::Cursor, listing::Kind, names::Names, path::Endpoint, servers::Unavailable, shared::Shared, splice,
};
use crate::jsonrpc::{Fault, code};

/// The member of `_meta` that names servers whose part is missing.
const UNAVAILABLE: &str = "io.mcp-platform/unavailable";
/// The member of `_meta` that names what several servers have.
const CONFLICTS: &str = "io.mcp-platform/conflicts";

impl Shared {
    /// One page of the aggregate list.
    ///
    /// # Errors
    /// -32602 for a cursor that is malformed, of another list, or of an item that is gone.
    pub(super) async fn list(
        &self,
        scope: &Scope,
        kind: Kind,
        params: Option<&RawValue>,
    ) -> Result<String, Fault> {
        let after = cursor_of(kind, params)?;
        let (parts, unavailable) = self.parts(scope, &Endpoint::Aggregate, kind).await;
        let names = Names::of(kind, self.config.prefix, &parts);
        let start = match after {
            None => 0,
            Some(cursor) => {
                let is_last = |entry: &super::names::Entry<'_>| {
                    entry.server.as_str() == cursor.server && *entry.item.name == *cursor.name
                };
                names.entries.iter().position(is_last).ok_or_else(bad_cursor)? + 1
            }
        };
        let rest = names.entries.get(start..).unwrap_or_default();
        let page = &rest[..rest.len().min(self.config.page_size)];
        if !names.conflicts.is_empty() {
            tracing::warn!(
                tenant = %scope.tenant(), kind = kind.noun(), names = names.conflicts.len(),
                "several servers have the same names"
            );
        }

        let mut out = String::with_capacity(page.len() * 512 + 64);
        out.push_str("{\"");
        out.push_str(kind.member());
        out.push_str("\":[");
        for (index, entry) in page.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            entry.item.write_as(&entry.name, &mut out);
        }
        out.push(']');
        if page.len() < rest.len()
            && let Some(last) = page.last()
        {
            let cursor = Cursor::encode(kind, last.server.as_str(), &last.item.name);
            out.push_str(",\"nextCursor\":");
            out.push_str(&splice::quoted(&cursor));
        }
        if let Some(meta) = meta(&names, &unavailable) {
            out.push_str(",\"_meta\":");
            out.push_str(&meta);
        }
        out.push('}');
        Ok(out)
    }
}

fn cursor_of(kind: Kind, params: Option<&RawValue>) -> Result<Option<Cursor>, Fault> {
    #[derive(Deserialize)]
    struct Params {
        cursor: Option<String>,
    }
    let Some(params) = params else { return Ok(None) };
    let params: Params = serde_json::from_str(params.get())
        .map_err(|_| Fault::new(code::INVALID_PARAMS, "`params` must be an object, `cursor` a string"))?;
    let Some(cursor) = params.cursor else { return Ok(None) };
    Cursor::decode(&cursor).filter(|cursor| cursor.kind == kind).map(Some).ok_or_else(bad_cursor)
}

fn bad_cursor() -> Fault {
    Fault::new(code::INVALID_PARAMS, "this cursor is not one of the current list; begin without a cursor")
}

fn meta(names: &Names<'_>, unavailable: &[Unavailable]) -> Option<String> {
    let mut meta = serde_json::Map::new();
    if !unavailable.is_empty() {
        let missing = unavailable.iter().map(|part| json!({ "server": part.server, "reason": part.reason }));
        meta.insert(UNAVAILABLE.to_owned(), missing.collect());
    }
    if !names.conflicts.is_empty() {
        let conflicts =
            names.conflicts.iter().map(|(name, servers)| json!({ "name": name, "servers": servers }));
        meta.insert(CONFLICTS.to_owned(), conflicts.collect());
    }
    (!meta.is_empty()).then(|| serde_json::Value::Object(meta).to_string())
}
