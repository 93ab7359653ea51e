//! Attacks on client certificates, and the one result that credentials of all kinds come to.

use std::time::Duration;

use crate::support::{World, tenant};
use http::Request;
use mcp_core::{
    ErrorKind, Result,
    clock::Clock as _,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind},
};
use mcp_tenancy::{
    auth::{EndedCredentials, Identity},
    certificate::{
        CertificateIdentity, CertificateSubject, MAX_SUBJECTS, NewCertificateIdentity, PeerCertificate,
    },
    refresh::TokenRequest,
};

const SPIFFE: &str = "spiffe://acme.example/ns/prod/sa/robot";

fn peer(subjects: &[&str]) -> PeerCertificate {
    let subjects = subjects.iter().map(|subject| CertificateSubject::parse(subject).unwrap());
    PeerCertificate::new(subjects.collect()).unwrap()
}

impl World {
    async fn register(&self, tenant_id: &str, subject: &str, principal: &str) -> CertificateIdentity {
        let new = NewCertificateIdentity {
            tenant: tenant(tenant_id),
            name: "robot's".to_owned(),
            subject: CertificateSubject::parse(subject).unwrap(),
            principal: Principal {
                id: PrincipalId::parse(principal).unwrap(),
                kind: PrincipalKind::Service,
                permissions: Permissions::parse(["tools:call"]).unwrap(),
            },
            expires_at: Some(self.clock.now().after(Duration::from_secs(3600))),
        };
        self.tenancy.register_certificate(&self.admin, new).await.unwrap()
    }

    /// Whom a request on a connection with this certificate comes from.
    async fn connected(&self, peer: Option<PeerCertificate>, headers: &[(&str, &str)]) -> Result<Identity> {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        head.extensions.extend(
            peer.map(|peer| {
                let mut extensions = http::Extensions::new();
                extensions.insert(peer);
                extensions
            })
            .unwrap_or_default(),
        );
        self.tenancy.authenticators().authenticate(&head).await
    }
}

fn reason(refused: Result<Identity>) -> String {
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert_eq!(error.message(), "valid credentials are required");
    error.context().find(|(key, _)| *key == "reason").unwrap().1.to_owned()
}

#[tokio::test]
async fn a_registered_certificate_speaks_for_its_principal() {
    let world = World::new().await;
    let key = CertificateSubject::of_key(&[7; 32]);
    for (subject, whom) in
        [(SPIFFE, "by-spiffe"), ("dns:robot.acme.example", "by-dns"), (key.as_str(), "by-key")]
    {
        let registered = world.register("acme", subject, whom).await;
        let identity =
            world.connected(Some(peer(&[subject, "dns:unregistered.example"])), &[]).await.unwrap();
        assert_eq!((identity.tenant, identity.principal.id.as_str()), (tenant("acme"), whom));
        assert_eq!(*identity.credential, *format!("certificate/{}", registered.id));
        assert_eq!(identity.expires_at, registered.expires_at);
    }
}

/// No credential, one of no known kind, a bad one, several: each is one refusal, and each is told apart in
/// the log alone.
#[tokio::test]
async fn the_chain_has_one_clear_result() {
    let world = World::new().await;
    world.register("acme", SPIFFE, "robot").await;
    let (known, unknown) = (peer(&[SPIFFE]), peer(&["spiffe://evil.example/robot"]));
    let key = world.api_key("beta").await;
    let bearer = format!("Bearer {}", key.text.expose());
    let good = ("authorization", bearer.as_str());
    let foreign =
        ("authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIn0.AAAA");
    let bad = ("authorization", "Bearer mcpk_000000000000000000000000_AAAA");
    for (peer, headers, expected) in [
        (None, &[][..], "no credential"),
        (None, &[foreign], "no issuer known here"),
        (None, &[bad], "a malformed API key"),
        (None, &[("authorization", "Basic dTpw")], "not a bearer credential"),
        (None, &[good, good], "a credential header twice"),
        (None, &[good, ("x-api-key", key.text.expose())], "two credentials"),
        (Some(unknown.clone()), &[], "a certificate that nobody registered"),
        (Some(unknown.clone()), &[bad], "a malformed API key"),
        (Some(known.clone()), &[good], "two credentials"),
        (Some(known.clone()), &[bad], "two credentials"),
        (Some(known.clone()), &[foreign], "two credentials"),
    ] {
        assert_eq!(reason(world.connected(peer, headers).await), expected, "{headers:?}");
    }
    // A mesh gives every connection a certificate; one that is nobody's stands in nobody's way.
    let identity = world.connected(Some(unknown), &[good]).await.unwrap();
    assert_eq!(identity.tenant, tenant("beta"));
}

#[tokio::test]
async fn no_header_makes_a_certificate() {
    let world = World::new().await;
    world.register("acme", SPIFFE, "robot").await;
    for name in
        ["x-forwarded-client-cert", "x-client-cert", "x-ssl-client-cert", "client-cert", "x-spiffe-id"]
    {
        let forged = world.connected(None, &[(name, SPIFFE)]).await;
        assert_eq!(reason(forged), "no credential", "{name}");
        let beside = world.connected(Some(peer(&["dns:evil.example"])), &[(name, SPIFFE)]).await;
        assert_eq!(reason(beside), "a certificate that nobody registered", "{name}");
    }
}

#[tokio::test]
async fn a_certificate_of_two_principals_is_nobodys() {
    let world = World::new().await;
    world.register("acme", SPIFFE, "robot").await;
    let same = world.register("acme", "dns:robot.acme.example", "robot").await;
    let both = peer(&[SPIFFE, "dns:robot.acme.example"]);
    assert_eq!(world.connected(Some(both.clone()), &[]).await.unwrap().tenant, tenant("acme"));
    world.tenancy.remove_certificate(&world.admin, &tenant("acme"), &same.id).await.unwrap();
    world.register("beta", "dns:robot.acme.example", "robot").await;
    assert_eq!(reason(world.connected(Some(both), &[]).await), "a certificate of several principals");
}

#[tokio::test]
async fn a_subject_cannot_be_taken_over() {
    let world = World::new().await;
    let held = world.register("acme", SPIFFE, "robot").await;
    let new = NewCertificateIdentity {
        tenant: tenant("beta"),
        name: "mine".to_owned(),
        subject: held.subject.clone(),
        principal: held.principal(),
        expires_at: None,
    };
    let refused = world.tenancy.register_certificate(&world.admin, new).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert!(!refused.to_string().contains("acme\u{60}"), "{refused}");
    let foreign = world.tenancy.remove_certificate(&world.admin, &tenant("beta"), &held.id).await;
    assert_eq!(foreign.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn removed_and_expired_registrations_end() {
    let world = World::new().await;
    let other = world.other_replica().await;
    let (here, there) = (peer(&[SPIFFE]), peer(&["dns:there.example"]));
    let first = world.register("acme", SPIFFE, "robot").await;
    let second = world.register("acme", "dns:there.example", "robot").await;
    for known in [&here, &there] {
        world.connected(Some(known.clone()), &[]).await.unwrap();
    }
    world.tenancy.remove_certificate(&world.admin, &tenant("acme"), &first.id).await.unwrap();
    assert_eq!(reason(world.connected(Some(here), &[]).await), "a certificate that nobody registered");
    other.remove_certificate(&world.admin, &tenant("acme"), &second.id).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(
        reason(world.connected(Some(there.clone()), &[]).await),
        "a certificate that nobody registered"
    );
    world.register("acme", "dns:there.example", "robot").await;
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(reason(world.connected(Some(there), &[]).await), "the certificate's registration has expired");
}

/// Whatever credential a principal has, no grant goes on once it is disabled.
#[tokio::test(start_paused = true)]
async fn every_grant_of_a_disabled_principal_fails() {
    let world = World::new().await;
    let (key, spared) = (world.api_key("acme").await, world.api_key("beta").await);
    world.register("acme", SPIFFE, "robot").await;
    world.register("acme", "dns:other.example", "other").await;
    let bearer = format!("Bearer {}", key.text.expose());
    let identity = world.connected(None, &[("authorization", &bearer)]).await.unwrap();
    let granted =
        world.tenancy.grant_for_key(&world.admin, &identity, TokenRequest::default()).await.unwrap();
    world.connected(Some(peer(&[SPIFFE])), &[]).await.unwrap();

    let robot = PrincipalId::parse("robot").unwrap();
    let ended = world.tenancy.end_credentials(&world.admin, &tenant("acme"), &robot).await.unwrap();
    assert_eq!(ended, EndedCredentials { keys: 1, certificates: 1 });
    assert_eq!(reason(world.connected(None, &[("authorization", &bearer)]).await), "the key is revoked");
    assert_eq!(
        reason(world.connected(Some(peer(&[SPIFFE])), &[]).await),
        "a certificate that nobody registered"
    );
    let redeemed =
        world.tenancy.grant_for_refresh_token(&world.admin, &granted.refresh_token, TokenRequest::default());
    assert_eq!(redeemed.await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    let again = world.tenancy.end_credentials(&world.admin, &tenant("acme"), &robot).await.unwrap();
    assert_eq!(again, EndedCredentials::default());

    world.connected(Some(peer(&["dns:other.example"])), &[]).await.unwrap();
    let spared = format!("Bearer {}", spared.text.expose());
    assert_eq!(world.connected(None, &[("authorization", &spared)]).await.unwrap().tenant, tenant("beta"));
}

#[test]
fn a_certificate_with_endless_names_is_refused() {
    let subjects =
        (0..=MAX_SUBJECTS).map(|n| CertificateSubject::parse(&format!("dns:h{n}.example")).unwrap());
    assert_eq!(PeerCertificate::new(subjects.collect()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// What is read of a real certificate.
#[cfg(feature = "mtls")]
mod from_der {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SanType, string::Ia5String};

    fn certificate(dns: &[&str], uris: &[&str]) -> (Vec<u8>, KeyPair) {
        let mut params =
            CertificateParams::new(dns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let uris = uris.iter().map(|uri| SanType::URI(Ia5String::try_from(*uri).unwrap()));
        params.subject_alt_names.extend(uris);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().der().to_vec(), key)
    }

    #[test]
    fn its_names_and_its_key_are_its_subjects() {
        let (der, key) = certificate(&["Robot.acme.example", "*.acme.example"], &[SPIFFE]);
        let read = PeerCertificate::from_der(&der).unwrap();
        let mut sha256 = [0; 32];
        let spki = key.subject_public_key_info();
        sha256.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki).as_ref());
        let key = CertificateSubject::of_key(&sha256);
        assert_eq!(read, peer(&[key.as_str(), SPIFFE, "dns:robot.acme.example"]));
    }

    #[test]
    fn what_is_no_certificate_or_two_identities_is_refused() {
        let (der, _) = certificate(&["robot.acme.example"], &[]);
        for end in 0..der.len() {
            assert!(PeerCertificate::from_der(&der[..end]).is_err(), "length {end}");
        }
        let (two, _) = certificate(&[], &[SPIFFE, "spiffe://evil.example/root"]);
        let (mixed, _) = certificate(&[], &[SPIFFE, "https://evil.example"]);
        let names: Vec<_> = (0..=MAX_SUBJECTS).map(|n| format!("h{n}.example")).collect();
        let (many, _) = certificate(&names.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        for der in [two, mixed, many] {
            assert_eq!(PeerCertificate::from_der(&der).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
