//! Verifying a token, beside `jsonwebtoken` alone with the same key.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use mcp_tenancy::{
    Tenancy, TenancyDeps,
    revocation::RevocationDirectory,
    tenant::{DirectoryConfig, NewTenant},
    token::{Claims, Keyring, SigningAlgorithm, TokenConfig, TokenVerifier, Verdict},
};

use super::{
    NAME, operator, principal, tenant,
    timed::{Time, in_turn, per_call},
};
use crate::{Failure, row::Row};

/// Tokens that are verified in a round, each once.
const TOKENS: usize = 256;
const HOUR: Duration = Duration::from_secs(3600);

/// The algorithms to sign with; RSA verifies alike and signs slowly.
const ALGORITHMS: [(SigningAlgorithm, Algorithm); 2] =
    [(SigningAlgorithm::EdDsa, Algorithm::EdDSA), (SigningAlgorithm::Es256, Algorithm::ES256)];

/// Runs every case.
///
/// # Errors
/// When a token is refused.
pub(super) async fn run(span: Duration) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (signing, algorithm) in ALGORITHMS {
        let issued = Issued::new(signing, algorithm).await?;
        let case = format!("verify {}", signing.as_str());
        let [ours, bare] = in_turn(span, || issued.afresh(), || issued.bare()).await?;
        rows.push(Row::less(NAME, case.clone(), "us", ours, bare));
        let verifier = issued.verifier().await?;
        let [ours, bare] = in_turn(span, || issued.again(&verifier), || issued.bare()).await?;
        rows.push(Row::less(NAME, format!("{case} again"), "us", ours, bare));
        issued.tenancy.shutdown().await;
    }
    Ok(rows)
}

/// Tokens of one tenant, and all it takes to verify them.
struct Issued {
    deps: TenancyDeps,
    tenancy: Tenancy,
    tokens: Vec<String>,
    key: DecodingKey,
    validation: Validation,
}

impl Issued {
    async fn new(signing: SigningAlgorithm, algorithm: Algorithm) -> Result<Self, Failure> {
        let mut config = TokenConfig::new("https://bench.example", "https://bench.example/mcp");
        config.algorithm = signing;
        let deps = TenancyDeps::memory(config.clone())?;
        let tenancy = Tenancy::open(deps.clone()).await?;
        let (operator, tenant) = (operator()?, tenant()?);
        tenancy.create_tenant(&operator, NewTenant::new(tenant.clone(), "Bench")).await?;
        let principal = principal(&["tools:call", "tools:list"])?;
        let mut tokens = Vec::with_capacity(TOKENS);
        for _ in 0..TOKENS {
            let issued = tenancy.issue_token(&operator, &tenant, &principal, HOUR).await?;
            tokens.push(issued.token.expose().clone());
        }
        let published = tenancy.jwks(&tenant).await?;
        let key = DecodingKey::from_jwk(published.keys.first().ok_or("the tenant has no key")?)?;
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[&config.audience]);
        validation.set_issuer(&[config.issuer_of(&tenant)]);
        validation.validate_nbf = true;
        Ok(Self { deps, tenancy, tokens, key, validation })
    }

    /// A verifier that has seen no token, but knows the tenant's key.
    async fn verifier(&self) -> Result<TokenVerifier, Failure> {
        let deps = self.deps.clone();
        let keyring = Keyring::new(deps.signing_keys, deps.data_keys, deps.master, deps.clock.clone())?;
        let revocations =
            RevocationDirectory::open(deps.revocations, deps.clock.clone(), DirectoryConfig::default());
        let directory = self.tenancy.directory().clone();
        let verifier =
            TokenVerifier::new(Arc::new(keyring), directory, revocations.await?, deps.clock, deps.tokens);
        let warming = self.tenancy.issue_token(&operator()?, &tenant()?, &principal(&[])?, HOUR).await?;
        good(&verifier, warming.token.expose()).await?;
        Ok(verifier)
    }

    async fn afresh(&self) -> Result<f64, Failure> {
        let verifier = self.verifier().await?;
        per_call(Time::Cpu, TOKENS, async |n| good(&verifier, &self.tokens[n]).await).await
    }

    /// The same tokens with a verifier that sees them again, but for the warming up.
    async fn again(&self, verifier: &TokenVerifier) -> Result<f64, Failure> {
        per_call(Time::Cpu, TOKENS * 16, async |n| good(verifier, &self.tokens[n % TOKENS]).await).await
    }

    async fn bare(&self) -> Result<f64, Failure> {
        per_call(Time::Cpu, TOKENS, async |n| {
            let token = decode::<Claims>(self.tokens[n].as_str(), &self.key, &self.validation)?;
            std::hint::black_box(token);
            Ok(())
        })
        .await
    }
}

async fn good(verifier: &TokenVerifier, token: &str) -> Result<(), Failure> {
    match verifier.verify(token).await? {
        Verdict::Good(verified) => {
            std::hint::black_box(verified);
            Ok(())
        }
        Verdict::Foreign => Err("a token of ours was taken for a foreign one".into()),
    }
}
