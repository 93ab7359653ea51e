//! Which algorithms a tenant's keys sign with, and the private halves that do it.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{Jwk, PublicKeyUse},
};
use mcp_core::{Error, Result, key::Secret};
use serde::{Deserialize, Serialize};

/// What a signing key is for. A key is of one algorithm for ever, and verifies nothing that says another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// Ed25519: the fastest to sign, and the default.
    #[default]
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256 with SHA-256, which every OAuth library knows.
    #[serde(rename = "ES256")]
    Es256,
    /// RSA PKCS #1 v1.5 with SHA-256, 2048 bits: for verifiers that know nothing else. Signing costs forty
    /// times what it costs with the others.
    #[serde(rename = "RS256")]
    Rs256,
}

impl SigningAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// The name in the header of tokens (RFC 7518, RFC 8037), and where it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm of that name; names have one spelling.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that lists the names.
    pub fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name);
        found.ok_or_else(|| {
            Error::invalid_input("token.algorithm", "a signing algorithm is `EdDSA`, `ES256` or `RS256`")
        })
    }

    pub(super) const fn jwt(self) -> Algorithm {
        match self {
            Self::EdDsa => Algorithm::EdDSA,
            Self::Es256 => Algorithm::ES256,
            Self::Rs256 => Algorithm::RS256,
        }
    }

    /// The public half, ready to verify.
    pub(super) fn decoding_key(self, public: &[u8]) -> DecodingKey {
        match self {
            Self::EdDsa => DecodingKey::from_ed_der(public),
            Self::Es256 => DecodingKey::from_ec_der(public),
            Self::Rs256 => DecodingKey::from_rsa_der(public),
        }
    }

    /// The public half as a JWK (RFC 7517) for signatures.
    pub(super) fn jwk(self, kid: &str, public: &[u8]) -> Result<Jwk> {
        let mut jwk = Jwk::from_decoding_key(&self.decoding_key(public), Some(self.jwt()))
            .map_err(|error| crate::token::damaged_key().with_source(error))?;
        jwk.common.key_id = Some(kid.to_owned());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(jwk)
    }

    /// Makes a key. Blocks for a few hundred milliseconds for RSA, for microseconds otherwise.
    pub(super) fn generate(self) -> Result<Generated> {
        let failed = |_| Error::internal("token.key", "cannot make a signing key");
        Ok(match self {
            Self::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                Generated::new(pair.public_key().as_ref(), pair.to_pkcs8().map_err(failed)?.as_ref())
            }
            Self::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
                Generated::new(pair.public_key().as_ref(), pair.to_pkcs8v1().map_err(failed)?.as_ref())
            }
            Self::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let private: Pkcs8V1Der<'static> = pair.as_der().map_err(failed)?;
                Generated::new(pair.public_key().as_ref(), private.as_ref())
            }
        })
    }
}

/// A key that was just made.
pub(super) struct Generated {
    /// Ed25519: 32 bytes; P-256: the uncompressed point, 65 bytes; RSA: PKCS #1 DER.
    pub(super) public: Vec<u8>,
    /// PKCS #8 DER.
    pub(super) private: Secret<Vec<u8>>,
}

impl Generated {
    fn new(public: &[u8], private: &[u8]) -> Self {
        Self { public: public.to_vec(), private: Secret::new(private.to_vec()) }
    }
}

/// A private half, ready to sign.
pub(super) enum Signer {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl Signer {
    /// The key in a PKCS #8 document.
    pub(super) fn open(algorithm: SigningAlgorithm, private: &[u8]) -> Result<Self> {
        let opened = match algorithm {
            SigningAlgorithm::EdDsa => Ed25519KeyPair::from_pkcs8(private).map(Self::EdDsa),
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).map(Self::Es256)
            }
            SigningAlgorithm::Rs256 => RsaKeyPair::from_pkcs8(private).map(Self::Rs256),
        };
        opened.map_err(|_| crate::token::damaged_key())
    }

    /// Signs. Takes a millisecond with RSA, microseconds otherwise.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let failed = |_| Error::internal("token.issue", "signing failed");
        match self {
            Self::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Es256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
        }
    }

    /// Whether signing takes long enough to be moved off the threads that serve requests.
    pub(super) const fn is_slow(&self) -> bool {
        matches!(self, Self::Rs256(_))
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::crypto;

    use super::*;

    #[test]
    fn what_each_algorithm_signs_verifies_as_that_algorithm_alone() {
        for algorithm in SigningAlgorithm::ALL {
            let made = algorithm.generate().unwrap();
            let signer = Signer::open(algorithm, made.private.expose()).unwrap();
            let signature = URL_SAFE_NO_PAD.encode(signer.sign(b"message").unwrap());
            for claimed in SigningAlgorithm::ALL {
                let key = algorithm.decoding_key(&made.public);
                let good = crypto::verify(&signature, b"message", &key, claimed.jwt()).unwrap_or(false);
                assert_eq!(good, claimed == algorithm, "{algorithm:?} as {claimed:?}");
                let opened = Signer::open(claimed, made.private.expose());
                assert_eq!(opened.is_ok(), claimed == algorithm, "{algorithm:?} as {claimed:?}");
            }
        }
    }

    #[test]
    fn a_jwk_holds_the_public_half_alone() {
        for algorithm in SigningAlgorithm::ALL {
            let made = algorithm.generate().unwrap();
            let jwk = serde_json::to_value(algorithm.jwk("kid-1", &made.public).unwrap()).unwrap();
            assert_eq!((jwk["kid"].as_str(), jwk["use"].as_str()), (Some("kid-1"), Some("sig")));
            assert_eq!(jwk["alg"], algorithm.as_str());
            for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert!(jwk.get(private).is_none(), "{jwk}");
            }
        }
    }

    #[test]
    fn names_have_one_spelling() {
        for algorithm in SigningAlgorithm::ALL {
            assert_eq!(SigningAlgorithm::parse(algorithm.as_str()).unwrap(), algorithm);
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
        }
        for name in ["", "none", "eddsa", "HS256", "RS512", "ES256 "] {
            assert!(SigningAlgorithm::parse(name).is_err(), "{name:?}");
        }
    }
}
