//! The methods the gateway knows, and what each needs.

use super::listing::Kind;

/// A method of a client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Initialize,
    Discover,
    Ping,
    SetLevel,
    List(Kind),
    CallTool,
    ReadResource,
    Subscribe,
    Unsubscribe,
    Listen,
    GetPrompt,
    Complete,
}

impl Method {
    pub(super) const ALL: [Self; 15] = [
        Self::Initialize,
        Self::Discover,
        Self::Ping,
        Self::SetLevel,
        Self::List(Kind::Tools),
        Self::List(Kind::Resources),
        Self::List(Kind::Templates),
        Self::List(Kind::Prompts),
        Self::CallTool,
        Self::ReadResource,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Listen,
        Self::GetPrompt,
        Self::Complete,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Discover => "server/discover",
            Self::Ping => "ping",
            Self::SetLevel => "logging/setLevel",
            Self::List(kind) => kind.method(),
            Self::CallTool => "tools/call",
            Self::ReadResource => "resources/read",
            Self::Subscribe => "resources/subscribe",
            Self::Unsubscribe => "resources/unsubscribe",
            Self::Listen => "subscriptions/listen",
            Self::GetPrompt => "prompts/get",
            Self::Complete => "completion/complete",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(super) fn index(self) -> usize {
        Self::ALL.iter().position(|method| *method == self).unwrap_or(0)
    }

    /// Whether clients of the stateless version may call it.
    pub(super) const fn is_stateless(self) -> bool {
        !matches!(self, Self::Initialize | Self::Ping | Self::SetLevel | Self::Subscribe | Self::Unsubscribe)
    }

    /// Whether clients with a session may call it.
    pub(super) const fn is_legacy(self) -> bool {
        !matches!(self, Self::Discover | Self::Listen)
    }

    /// Whether a stateless answer says how long and for whom it may be cached.
    pub(super) const fn is_cacheable(self) -> bool {
        matches!(self, Self::List(_) | Self::ReadResource | Self::Discover)
    }

    /// The permission it needs beyond being somebody.
    pub(super) const fn permission(self) -> Option<&'static str> {
        match self {
            Self::Initialize | Self::Discover | Self::Ping | Self::SetLevel | Self::Unsubscribe => None,
            // They depend on what the completion refers to and on what is listened for.
            Self::Complete | Self::Listen => None,
            Self::List(Kind::Tools) => Some("tools:list"),
            Self::CallTool => Some("tools:call"),
            Self::List(Kind::Resources | Kind::Templates) => Some("resources:list"),
            Self::ReadResource | Self::Subscribe => Some("resources:read"),
            Self::List(Kind::Prompts) => Some("prompts:list"),
            Self::GetPrompt => Some("prompts:get"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_parses_back() {
        for method in Method::ALL {
            assert_eq!(Method::parse(method.as_str()), Some(method));
            assert_eq!(Method::ALL[method.index()], method);
        }
        assert_eq!(Method::parse("tools/destroy"), None);
    }
}
