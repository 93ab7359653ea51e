//! A signed statement of how far a chain had come: what makes a truncated chain show.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{AuditKey, AuditPublicKey, Chain};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    scope::TenantId,
};

/// That link `seq` of `chain` had `hash` at `time`, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The chain, by its name.
    #[serde(serialize_with = "chain_name", deserialize_with = "chain_of_name")]
    pub chain: Chain,
    /// The number of the chain's last link.
    pub seq: i64,
    /// That link's hash.
    #[serde(serialize_with = "base64_of", deserialize_with = "hash_of_base64")]
    pub hash: [u8; 32],
    /// When it was signed.
    pub time: Timestamp,
    /// [`AuditPublicKey::id`] of the key.
    pub key_id: String,
    /// Ed25519 over all of the above but `key_id`.
    #[serde(serialize_with = "base64_of", deserialize_with = "bytes_of_base64")]
    pub signature: Vec<u8>,
}

impl Checkpoint {
    /// Signs a checkpoint.
    #[must_use]
    pub fn sign(chain: &Chain, seq: i64, hash: [u8; 32], time: Timestamp, key: &AuditKey) -> Self {
        let mut signed =
            Self { chain: chain.clone(), seq, hash, time, key_id: key.public().id(), signature: Vec::new() };
        signed.signature = key.sign(&signed.message());
        signed
    }

    /// Whether it was signed with one of these keys.
    #[must_use]
    pub fn is_signed_by(&self, keys: &[AuditPublicKey]) -> bool {
        let message = self.message();
        keys.iter().any(|key| key.id() == self.key_id && key.verifies(&message, &self.signature))
    }

    /// One line of JSON, with its line end.
    pub(crate) fn to_line(&self) -> Result<String> {
        let text = serde_json::to_string(self);
        text.map(|text| text + "\n")
            .map_err(|error| Error::internal("audit.checkpoint", "it has no JSON form").with_source(error))
    }

    /// Every part preceded by its length, so that no two checkpoints have the same form.
    fn message(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(160);
        for part in [
            b"mcp-audit-checkpoint-1".as_slice(),
            self.chain.as_str().as_bytes(),
            &self.seq.to_be_bytes(),
            &self.hash,
            &self.time.as_micros().to_be_bytes(),
        ] {
            message.extend_from_slice(&(part.len() as u64).to_be_bytes());
            message.extend_from_slice(part);
        }
        message
    }
}

/// The chain of that name.
pub(crate) fn parse_chain(name: &str) -> Result<Chain> {
    match name {
        "platform" => Ok(Chain::Platform),
        tenant => TenantId::parse(tenant).map(Chain::Tenant),
    }
}

fn chain_name<S: Serializer>(chain: &Chain, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(chain.as_str())
}

fn chain_of_name<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Chain, D::Error> {
    parse_chain(&String::deserialize(from)?).map_err(de::Error::custom)
}

fn base64_of<S: Serializer>(bytes: &impl AsRef<[u8]>, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes))
}

fn bytes_of_base64<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(from)?).map_err(de::Error::custom)
}

fn hash_of_base64<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<[u8; 32], D::Error> {
    bytes_of_base64(from)?.try_into().map_err(|_| de::Error::custom("a hash has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_signed() {
        let key = AuditKey::ephemeral().unwrap();
        let acme = Chain::Tenant(TenantId::parse("acme").unwrap());
        let signed = Checkpoint::sign(&acme, 7, [1; 32], Timestamp::from_micros(5), &key);
        let keys = [key.public()];
        assert!(signed.is_signed_by(&keys));
        assert!(!Checkpoint { chain: Chain::Platform, ..signed.clone() }.is_signed_by(&keys));
        assert!(!Checkpoint { seq: 8, ..signed.clone() }.is_signed_by(&keys));
        assert!(!Checkpoint { hash: [2; 32], ..signed.clone() }.is_signed_by(&keys));
        assert!(!Checkpoint { time: Timestamp::from_micros(6), ..signed.clone() }.is_signed_by(&keys));
        assert!(!signed.is_signed_by(&[AuditKey::ephemeral().unwrap().public()]));
        assert!(!signed.is_signed_by(&[]));
    }

    #[test]
    fn a_line_comes_back_as_it_was() {
        let key = AuditKey::ephemeral().unwrap();
        let signed = Checkpoint::sign(&Chain::Platform, 1, [3; 32], Timestamp::from_micros(1_000_001), &key);
        let line = signed.to_line().unwrap();
        assert_eq!(serde_json::from_str::<Checkpoint>(&line).unwrap(), signed);
        assert!(line.contains(r#""chain":"platform""#), "{line}");
    }
}
