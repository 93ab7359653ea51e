//! What contexts and messages look like on the wire.
//!
//! One type writes the JSON and, with the feature `http-api`, describes it, so that the two cannot drift.

use std::fmt;

use mcp_core::{clock::Timestamp, scope::TenantId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::model::{Content, Context, ContextHead, ContextId, Message, Part};

/// [`ContextHead`], as it is written.
#[derive(Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema), schema(as = ContextHead))]
struct HeadForm<'a> {
    context_id: ContextId,
    tenant_id: &'a TenantId,
    user_id: &'a str,
    #[cfg_attr(feature = "http-api", schema(required))]
    session_id: Option<&'a str>,
    metadata: Metadata,
}

#[derive(Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema), schema(as = ContextMetadata))]
struct Metadata {
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Counts the context's changes: 1 when created.
    version: i64,
    /// How many messages it has.
    messages: i64,
}

/// [`Context`], as it is written.
#[derive(Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema), schema(as = Context))]
struct Form<'a> {
    #[serde(flatten)]
    head: HeadForm<'a>,
    data: Data<'a>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema), schema(as = ContextData))]
struct Data<'a> {
    /// The newest messages, oldest first, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_history: Option<&'a [Message]>,
    #[serde(flatten)]
    rest: &'a Map<String, Value>,
}

impl<'a> From<&'a ContextHead> for HeadForm<'a> {
    fn from(head: &'a ContextHead) -> Self {
        let ContextHead { created_at, updated_at, version, messages, .. } = *head;
        Self {
            context_id: head.id,
            tenant_id: &head.tenant,
            user_id: &head.user_id,
            session_id: head.session_id.as_deref(),
            metadata: Metadata { created_at, updated_at, version, messages },
        }
    }
}

impl Serialize for ContextHead {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        HeadForm::from(self).serialize(serializer)
    }
}

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = Data { conversation_history: self.history.as_deref(), rest: &self.data };
        Form { head: HeadForm::from(&self.head), data }.serialize(serializer)
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [Part::Text { text }] => serializer.serialize_str(text),
            parts => parts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of parts")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(text.into())
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(Content(parts))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(feature = "http-api")]
mod schema {
    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{
            ObjectBuilder, Ref, RefOr,
            schema::{ArrayBuilder, OneOfBuilder, Schema, Type},
        },
    };

    use super::{Content, Context, ContextHead, Form, HeadForm, Part};

    impl PartialSchema for ContextHead {
        fn schema() -> RefOr<Schema> {
            HeadForm::schema()
        }
    }
    impl ToSchema for ContextHead {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            HeadForm::schemas(schemas);
        }
    }

    impl PartialSchema for Context {
        fn schema() -> RefOr<Schema> {
            Form::schema()
        }
    }
    impl ToSchema for Context {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            Form::schemas(schemas);
        }
    }

    impl PartialSchema for Content {
        fn schema() -> RefOr<Schema> {
            let parts = ArrayBuilder::new().items(Ref::from_schema_name("Part")).min_items(Some(1));
            OneOfBuilder::new()
                .description(Some("What a message says: a list of parts, or a string where it is one text."))
                .item(ObjectBuilder::new().schema_type(Type::String))
                .item(parts)
                .into()
        }
    }
    impl ToSchema for Content {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push(("Part".to_owned(), Part::schema()));
            Part::schemas(schemas);
        }
    }
}
