//! Key sets (RFC 7517): which of their keys are good for what.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use mcp_core::Result;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{fetch::broken, parse::MAX_KID_LEN};
use crate::issuer::SigningAlgorithm;

/// Most keys of a set.
const MAX_KEYS: usize = 64;
/// Sizes of RSA keys, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A public key, pinned to what it may verify.
pub(super) struct PinnedKey {
    kid: String,
    algorithms: Vec<SigningAlgorithm>,
    key: DecodingKey,
    /// The digest of what it was made of: the same key in a later set is this one.
    made_of: [u8; 32],
    retired: AtomicBool,
}

impl std::fmt::Debug for PinnedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PinnedKey({}, {:?})", self.kid, self.algorithms)
    }
}

impl PinnedKey {
    /// Whether `signature` (base64url) is this key's on `message`.
    pub(super) fn verifies(&self, algorithm: SigningAlgorithm, message: &str, signature: &str) -> bool {
        let name = match algorithm {
            SigningAlgorithm::Rs256 => Algorithm::RS256,
            SigningAlgorithm::Ps256 => Algorithm::PS256,
            SigningAlgorithm::Es256 => Algorithm::ES256,
            SigningAlgorithm::EdDsa => Algorithm::EdDSA,
        };
        self.algorithms.contains(&algorithm)
            && jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, name).unwrap_or(false)
    }

    /// Whether its issuer has taken it out of its set.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

/// The usable keys of a set.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Arc<PinnedKey>>);

impl KeySet {
    /// Parses a set. A key that cannot be used (for encryption, symmetric, too small, of an unknown kind, without a
    /// name) is left out, as a set may hold keys for other purposes.
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let set: Set<'_> = serde_json::from_slice(json).map_err(|_| broken("its keys are no key set"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(broken("it has more than 64 keys"));
        }
        let usable = set.keys.into_iter().filter_map(|key| pinned(key.get()));
        Ok(Self(usable.map(Arc::new).collect()))
    }

    /// The key of that name that may verify `algorithm`.
    pub(super) fn find(&self, kid: &str, algorithm: SigningAlgorithm) -> Option<Arc<PinnedKey>> {
        let mut keys = self.0.iter();
        keys.find(|key| key.kid == kid && key.algorithms.contains(&algorithm)).cloned()
    }

    /// How many keys there are.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// This set in the place of `former`: keys that were in both stay, keys that are gone retire, and every token
    /// that they vouched for with them.
    pub(super) fn replacing(mut self, former: Option<&Self>) -> Self {
        for old in former.iter().flat_map(|former| &former.0) {
            match self.0.iter_mut().find(|key| key.made_of == old.made_of) {
                Some(key) => *key = old.clone(),
                None => old.retired.store(true, Ordering::Release),
            }
        }
        self
    }
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

fn pinned(json: &str) -> Option<PinnedKey> {
    let jwk: Jwk = serde_json::from_str(json).ok()?;
    let kid = jwk.kid.filter(|kid| (1..=MAX_KID_LEN).contains(&kid.len()))?;
    let signs = jwk.usage.is_none_or(|usage| usage == "sig")
        && jwk.key_ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !signs {
        return None;
    }
    let (key, fit, parts) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (jwk.n?, jwk.e?);
            let modulus = URL_SAFE_NO_PAD.decode(&n).ok()?;
            let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
            let bits = (modulus.len() - zeros) * 8 - modulus.get(zeros)?.leading_zeros() as usize;
            if !RSA_BITS.contains(&bits) {
                return None;
            }
            let key = DecodingKey::from_rsa_components(&n, &e).ok()?;
            (key, &[SigningAlgorithm::Rs256, SigningAlgorithm::Ps256][..], [n, e])
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (jwk.x?, jwk.y?);
            let key = DecodingKey::from_ec_components(&x, &y).ok()?;
            (key, &[SigningAlgorithm::Es256][..], [x, y])
        }
        ("OKP", Some("Ed25519")) => {
            let x = jwk.x?;
            let key = DecodingKey::from_ed_components(&x).ok()?;
            (key, &[SigningAlgorithm::EdDsa][..], [x, String::new()])
        }
        _ => return None,
    };
    // `Ed25519` is what RFC 9864 calls the algorithm of such a key.
    let named = |algorithm: &SigningAlgorithm| match jwk.alg.as_deref() {
        None => true,
        Some("Ed25519") => *algorithm == SigningAlgorithm::EdDsa,
        Some(name) => name == algorithm.as_str(),
    };
    let algorithms: Vec<_> = fit.iter().copied().filter(named).collect();
    if algorithms.is_empty() {
        return None;
    }
    let mut made_of = [0; 32];
    let text = format!("{kid}\0{algorithms:?}\0{}\0{}", parts[0], parts[1]);
    made_of.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    Some(PinnedKey { kid, algorithms, key, made_of, retired: AtomicBool::new(false) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rsa(bits: usize) -> Value {
        let mut modulus = vec![0xff; bits / 8];
        modulus[0] = 0x80;
        json!({ "kty": "RSA", "kid": "r", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB" })
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_algorithm_is_pinned_by_the_key() {
        let ed = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "e", "x": URL_SAFE_NO_PAD.encode([1; 32]) });
        let keys =
            set(&[rsa(2048), ed.clone(), with(with(rsa(3072), "alg", json!("PS256")), "kid", json!("p"))]);
        let fits = |kid| SigningAlgorithm::ALL.map(|algorithm| keys.find(kid, algorithm).is_some());
        assert_eq!(fits("r"), [true, true, false, false]);
        assert_eq!(fits("p"), [false, true, false, false]);
        assert_eq!(fits("e"), [false, false, false, true]);
        assert_eq!(fits("other"), [false; 4]);
        for name in ["EdDSA", "Ed25519"] {
            assert_eq!(set(&[with(ed.clone(), "alg", json!(name))]).len(), 1, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_left_out() {
        let zeros = format!("AAAA{}", rsa(2048)["n"].as_str().unwrap());
        assert_eq!(set(&[with(rsa(2048), "n", json!(zeros))]).len(), 1, "leading zeros");
        for bad in [
            rsa(1024),
            rsa(2040),
            rsa(16384),
            with(rsa(2048), "use", json!("enc")),
            with(rsa(2048), "key_ops", json!(["encrypt"])),
            with(rsa(2048), "alg", json!("HS256")),
            with(rsa(2048), "alg", json!("RS512")),
            with(rsa(2048), "alg", json!("none")),
            with(rsa(2048), "kid", Value::Null),
            with(rsa(2048), "kid", json!("")),
            with(rsa(2048), "kid", json!("k".repeat(64 * 1024))),
            with(rsa(2048), "n", json!("")),
            with(rsa(2048), "n", json!("not base64!")),
            json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0" }),
            json!({ "kty": "EC", "crv": "P-521", "kid": "c", "x": "AA", "y": "AA" }),
            json!({ "kty": "OKP", "crv": "X25519", "kid": "x", "x": URL_SAFE_NO_PAD.encode([1; 32]) }),
            json!({ "kid": "?" }),
            json!(7),
        ] {
            assert_eq!(set(std::slice::from_ref(&bad)).len(), 0, "{bad}");
        }
    }

    #[test]
    fn sets_have_bounds() {
        assert!(
            KeySet::parse(json!({ "keys": vec![rsa(2048); MAX_KEYS + 1] }).to_string().as_bytes()).is_err()
        );
        for bad in ["", "[]", "{}", "{\"keys\": {}}", "<html>"] {
            assert!(KeySet::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_that_leaves_the_set_retires_and_the_others_stay_themselves() {
        let (stays, goes) = (rsa(2048), with(rsa(3072), "kid", json!("gone")));
        let first = set(&[stays.clone(), goes]);
        let stayed = first.find("r", SigningAlgorithm::Rs256).unwrap();
        let gone = first.find("gone", SigningAlgorithm::Rs256).unwrap();
        let second = set(&[stays]).replacing(Some(&first));
        assert!(Arc::ptr_eq(&stayed, &second.find("r", SigningAlgorithm::Rs256).unwrap()));
        assert!(!stayed.is_retired() && gone.is_retired());
        // The same name with other material is another key.
        let other = set(&[rsa(4096)]).replacing(Some(&second));
        assert!(stayed.is_retired() && !other.find("r", SigningAlgorithm::Rs256).unwrap().is_retired());
    }
}
