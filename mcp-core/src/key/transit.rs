//! HashiCorp Vault's transit engine as a vault, over its HTTP API.

use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use super::{KeyBytes, KeyPlace, KeyVault, Secret, WrappedKey, master};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    net::HttpClient,
};

const OPERATION: &str = "key.transit";
/// Longest ciphertext that is kept, in bytes. Vault's are below 300.
const MAX_CIPHERTEXT: usize = 4096;
/// A data key and the digest of its place.
const PLAINTEXT_LEN: usize = 64;

/// Which transit key wraps, and how to reach it.
#[derive(Debug, Clone)]
pub struct TransitConfig {
    /// Vault's URL without a path: `https://vault.internal:8200`.
    pub address: String,
    /// Where the transit engine is mounted: path segments of `[A-Za-z0-9_.-]`. Default `transit`.
    pub mount: String,
    /// The key's name, `[A-Za-z0-9_.-]`: a symmetric one, such as `aes256-gcm96`.
    pub key: String,
    /// A token with `update` on `encrypt`, `decrypt` and `rewrap` of the key and `read` on `keys` of it.
    pub token: Secret<String>,
    /// The namespace, for Vault Enterprise. Default none.
    pub namespace: Option<String>,
}

impl TransitConfig {
    /// The defaults.
    #[must_use]
    pub fn new(address: impl Into<String>, key: impl Into<String>, token: Secret<String>) -> Self {
        Self { address: address.into(), mount: "transit".to_owned(), key: key.into(), token, namespace: None }
    }
}

/// Wraps data keys in Vault's transit engine: the wrapping key never leaves Vault, and each use of it is in
/// Vault's own audit log.
///
/// What Vault encrypts is the data key *and a digest of its place*, which is compared when it is opened. So a
/// wrapped key is bound to its place whatever kind the transit key is, and also where Vault wraps it anew,
/// which takes no associated data. The place is sent as `context` too, which a `derived` key needs and others
/// ignore.
///
/// Rotate with `vault write -f transit/keys/NAME/rotate`, wrap all data keys anew
/// ([`DataKeys::rewrap_batch`](super::DataKeys::rewrap_batch)), and then raise the key's
/// `min_decryption_version`: that makes earlier backups of the data keys unreadable.
pub struct TransitVault {
    client: HttpClient,
    base: String,
    key: String,
    name: String,
    token: RwLock<Secret<String>>,
    namespace: Option<HeaderValue>,
}

impl std::fmt::Debug for TransitVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransitVault")
            .field("base", &self.base)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Plain<'a> {
    plaintext: &'a str,
    context: &'a str,
}

#[derive(Serialize)]
struct Cipher<'a> {
    ciphertext: &'a str,
    context: &'a str,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: Secret<String>,
}

#[derive(Deserialize)]
struct Described {
    latest_version: u32,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl TransitVault {
    /// A vault at `config.address`, asked by `client`; nothing is sent yet. The address is an operator's, so
    /// the client is one for [any](crate::net::Addresses::Any) address; give it the roots of Vault's
    /// certificate and a small limit for bodies.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) that names the setting.
    pub fn new(config: TransitConfig, client: HttpClient) -> Result<Self> {
        let TransitConfig { address, mount, key, token, namespace } = config;
        let setting =
            |name: &str, rule: &str| Error::invalid_input(OPERATION, format!("vault `{name}` {rule}"));
        let uri: Uri = address.parse().map_err(|_| setting("address", "must be a URL"))?;
        let scheme = matches!(uri.scheme_str(), Some("https" | "http"));
        if !scheme
            || uri.authority().is_none_or(|a| a.as_str().contains('@'))
            || !matches!(uri.path(), "" | "/")
        {
            return Err(setting("address", "must be `https://host:port` alone"));
        }
        if uri.query().is_some() {
            return Err(setting("address", "must be `https://host:port` alone"));
        }
        if mount.is_empty() || !mount.split('/').all(is_segment) {
            return Err(setting("mount", "must be path segments of A-Z, a-z, 0-9, `_`, `.` and `-`"));
        }
        if !is_segment(&key) {
            return Err(setting("key", "must have 1 to 128 of A-Z, a-z, 0-9, `_`, `.` and `-`"));
        }
        check_token(&token)?;
        let namespace = namespace
            .map(|text| {
                HeaderValue::from_str(&text).map_err(|_| setting("namespace", "must be printable ASCII"))
            })
            .transpose()?;
        let base = format!("{}/v1/{mount}", address.trim_end_matches('/'));
        let name = format!("{mount}/{key}");
        Ok(Self { client, base, key, name, token: RwLock::new(token), namespace })
    }

    /// Uses another token from now on: tokens end, and whoever renews them says so here.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is none; the one before stays.
    pub fn set_token(&self, token: Secret<String>) -> Result<()> {
        check_token(&token)?;
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(())
    }

    async fn post<T: for<'de> Deserialize<'de>>(&self, verb: &str, body: &impl Serialize) -> Result<T> {
        let mut json = serde_json::to_vec(body)
            .map_err(|error| Error::internal(OPERATION, "cannot write a request").with_source(error))?;
        let body = Bytes::copy_from_slice(&json);
        json.zeroize();
        self.send(Method::POST, verb, body).await
    }

    async fn send<T: for<'de> Deserialize<'de>>(&self, method: Method, verb: &str, body: Bytes) -> Result<T> {
        let unfit =
            |error: http::Error| Error::internal(OPERATION, "cannot make a request").with_source(error);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{verb}/{}", self.base, self.key))
            .header(CONTENT_TYPE, "application/json")
            .header("x-vault-request", "true");
        let mut token = {
            let token = self.token.read().unwrap_or_else(PoisonError::into_inner);
            HeaderValue::from_str(token.expose()).map_err(|error| unfit(error.into()))?
        };
        token.set_sensitive(true);
        request = request.header("x-vault-token", token);
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let response = self.client.send(request.body(body).map_err(unfit)?).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(verb, response.status(), response.body()));
        }
        let answer: Answer<T> =
            serde_json::from_slice(response.body()).map_err(|_| nonsense("no answer of its API"))?;
        Ok(answer.data)
    }

    /// What Vault encrypted, with the name of the version that did.
    fn wrapped(&self, ciphertext: String) -> Result<WrappedKey> {
        let version = version_of(&ciphertext).ok_or_else(|| nonsense("a ciphertext of another form"))?;
        Ok(WrappedKey { wrapping_key: format!("{}:v{version}", self.name), bytes: ciphertext.into_bytes() })
    }

    fn ciphertext<'a>(&self, wrapped: &'a WrappedKey) -> Result<&'a str> {
        let text = std::str::from_utf8(&wrapped.bytes).ok().filter(|text| version_of(text).is_some());
        text.ok_or_else(|| corrupted("a data key is not wrapped by this vault"))
    }
}

#[async_trait]
impl KeyVault for TransitVault {
    async fn wrap_key(&self, place: KeyPlace<'_>, key: &KeyBytes) -> Result<WrappedKey> {
        let (context, digest) = bound_to(place);
        let mut bytes = [0; PLAINTEXT_LEN];
        bytes[..32].copy_from_slice(key.expose());
        bytes[32..].copy_from_slice(&digest);
        let plaintext = Secret::new(STANDARD.encode(bytes));
        bytes.zeroize();
        let body = Plain { plaintext: plaintext.expose(), context: &context };
        let Encrypted { ciphertext } = self.post("encrypt", &body).await?;
        self.wrapped(ciphertext)
    }

    async fn unwrap_key(&self, place: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<KeyBytes> {
        let (context, digest) = bound_to(place);
        let body = Cipher { ciphertext: self.ciphertext(wrapped)?, context: &context };
        let Decrypted { plaintext } = self.post("decrypt", &body).await?;
        let bytes = STANDARD.decode(plaintext.expose()).map(Secret::new);
        let bytes = bytes.map_err(|_| nonsense("a plaintext that is no base64"))?;
        let (key, found) = bytes
            .expose()
            .split_first_chunk::<32>()
            .filter(|(_, rest)| rest.len() == PLAINTEXT_LEN - 32)
            .ok_or_else(|| nonsense("a plaintext of another length"))?;
        if found != digest {
            return Err(corrupted("a wrapped data key belongs to another tenant or version"));
        }
        Ok(Secret::new(*key))
    }

    async fn rewrap_key(&self, place: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<Option<WrappedKey>> {
        let (context, _) = bound_to(place);
        let before = self.ciphertext(wrapped)?;
        let body = Cipher { ciphertext: before, context: &context };
        let Encrypted { ciphertext } = self.post("rewrap", &body).await?;
        let anew = self.wrapped(ciphertext)?;
        // Vault encrypts again, or gives back what it got, where the version is the latest.
        Ok((version_of(before) != version_of_name(&anew.wrapping_key)).then_some(anew))
    }

    async fn current_key(&self) -> Result<String> {
        let Described { latest_version } = self.send(Method::GET, "keys", Bytes::new()).await?;
        Ok(format!("{}:v{latest_version}", self.name))
    }
}

/// The place as Vault gets it, and its digest.
fn bound_to(place: KeyPlace<'_>) -> (String, [u8; 32]) {
    let version = place.version.to_string();
    let bound = master::associated(&["data_key", place.tenant.as_str(), &version]);
    let mut fixed = [0; 32];
    fixed.copy_from_slice(digest(&SHA256, &bound).as_ref());
    (STANDARD.encode(bound), fixed)
}

/// The key's version in a ciphertext, `vault:v3:…`. What is not written exactly as Vault writes it is none: Vault
/// reads base64 with stray bits and line ends too, and would open what was altered there.
fn version_of(ciphertext: &str) -> Option<u32> {
    let (version, rest) = ciphertext.strip_prefix("vault:v")?.split_once(':')?;
    let number: u32 = version.parse().ok().filter(|number| *number > 0)?;
    let exact = number.to_string() == version && ciphertext.len() <= MAX_CIPHERTEXT;
    (exact && STANDARD.decode(rest).is_ok_and(|bytes| !bytes.is_empty())).then_some(number)
}

fn version_of_name(name: &str) -> Option<u32> {
    name.rsplit_once(":v").and_then(|(_, version)| version.parse().ok())
}

fn is_segment(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=128).contains(&text.len()) && text.bytes().all(allowed) && !text.bytes().all(|b| b == b'.')
}

fn check_token(token: &Secret<String>) -> Result<()> {
    let token = token.expose();
    if token.is_empty() || token.len() > 4096 || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::invalid_input(
            OPERATION,
            "vault `token` must be 1 to 4096 printable ASCII characters",
        ));
    }
    Ok(())
}

/// What a status other than 200 means. Vault's own words go to the log alone.
fn refusal(verb: &str, status: StatusCode, body: &[u8]) -> Error {
    let error = match status.as_u16() {
        // Vault says so of a ciphertext that was altered, of a version it no longer opens and of a key it has
        // not: none of it gets better by asking again.
        400 if matches!(verb, "decrypt" | "rewrap") => {
            corrupted("the key vault does not open a data key; was its transit key deleted or cut back?")
        }
        400 => {
            Error::upstream(OPERATION, "the key vault refuses to wrap; is its transit key a symmetric one?")
                .with_retry(Retry::Never)
        }
        401 | 403 => Error::permission_denied(
            OPERATION,
            "the key vault refuses the platform's token; it needs `update` on encrypt, decrypt and rewrap of the \
             transit key and `read` on the key",
        ),
        404 => Error::not_found(OPERATION, "the key vault has no such mount or transit key"),
        412 | 429 | 472 | 473 | 500..=599 => {
            Error::unavailable(OPERATION, "the key vault is sealed, on standby or overloaded; try again")
        }
        _ => nonsense("a status that is none of its API's"),
    };
    let said: Option<Errors> = serde_json::from_slice(body).ok();
    let said = said.map(|said| said.errors.join("; ")).unwrap_or_default();
    let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
    error.with_context("status", status.as_u16()).with_context("vault", said)
}

fn nonsense(what: &str) -> Error {
    Error::upstream(OPERATION, format!("the key vault answered with {what}"))
}

fn corrupted(message: &'static str) -> Error {
    Error::new(ErrorKind::Corrupted, OPERATION, message)
}
