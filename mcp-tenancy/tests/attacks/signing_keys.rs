//! Attacks on tokens of every algorithm, and what rotation and removal do to those that are out.

use std::time::Duration;

use crate::support::{NOW, World, jwt, message, sign, tenant};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::StatusCode;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use mcp_core::ErrorKind;
use mcp_tenancy::token::{Claims, KeyState, MIN_LEAD, Rotation, SigningAlgorithm};

const HOUR: Duration = Duration::from_secs(3600);

/// A world whose tenant signs with `algorithm`.
async fn world(algorithm: SigningAlgorithm) -> World {
    let world = World::new().await;
    world.rotate("acme", algorithm).await;
    world
}

#[tokio::test]
async fn every_prefix_of_a_token_of_every_algorithm_is_refused() {
    for algorithm in SigningAlgorithm::ALL {
        let world = world(algorithm).await;
        let token = world.token("acme").await;
        assert_eq!(world.send_bearer(&token).await.status(), StatusCode::OK, "{algorithm:?}");
        for end in 1..token.len() {
            world.expect_unauthenticated(&token[..end], &format!("{algorithm:?}, length {end}")).await;
        }
    }
}

/// HMAC under every form of every public key, and every asymmetric algorithm with a key of another.
#[tokio::test]
async fn algorithm_confusion_is_refused_with_keys_of_every_algorithm() {
    for algorithm in SigningAlgorithm::ALL {
        let world = world(algorithm).await;
        let (honest, claims) = world.honest("acme").await;
        let (stored, key) = world.stolen_key("acme").await;
        let good = world.send_bearer(&sign(&honest, &claims, &key, jwt(algorithm))).await;
        assert_eq!(good.status(), StatusCode::OK, "{algorithm:?}: the attacks below would prove nothing");

        let pem = |label: &str| {
            let body = STANDARD.encode(&stored.public);
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        };
        let jwks = serde_json::to_string(&world.tenancy.jwks(&tenant("acme")).await.unwrap()).unwrap();
        let secrets = [
            stored.public.clone(),
            pem("PUBLIC KEY").into_bytes(),
            format!(" \n{}", pem("RSA PUBLIC KEY")).into_bytes(),
            URL_SAFE_NO_PAD.encode(&stored.public).into_bytes(),
            jwks.into_bytes(),
            stored.kid.clone().into_bytes(),
        ];
        for name in ["HS256", "HS384", "HS512"] {
            for secret in &secrets {
                for claimed in [name, algorithm.as_str()] {
                    let mut header = honest.clone();
                    header["alg"] = claimed.into();
                    let forged =
                        sign(&header, &claims, &EncodingKey::from_secret(secret), name.parse().unwrap());
                    world.expect_unauthenticated(&forged, &format!("{algorithm:?} as {name}")).await;
                }
            }
        }
        let algorithms = ["EdDSA", "ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "none", ""];
        for claimed in algorithms.into_iter().filter(|claimed| *claimed != algorithm.as_str()) {
            let mut header = honest.clone();
            header["alg"] = claimed.into();
            let mut forged = vec![format!("{}.", message(&header, &claims))];
            forged.push(sign(&header, &claims, &key, jwt(algorithm)));
            if let Ok(other) = claimed.parse::<Algorithm>()
                && let Ok(signature) =
                    jsonwebtoken::crypto::sign(message(&header, &claims).as_bytes(), &key, other)
            {
                forged.push(format!("{}.{signature}", message(&header, &claims)));
                // The same signature under a header that says what the key is for.
                forged.push(format!("{}.{signature}", message(&honest, &claims)));
            }
            for token in forged {
                world.expect_unauthenticated(&token, &format!("{algorithm:?} as {claimed}")).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_token_is_refused_for_a_rotation() {
    let world = World::new().await;
    let other = world.other_replica().await;
    let before = world.token("acme").await;
    let rotation = Rotation { algorithm: SigningAlgorithm::Es256, ..Rotation::default() };
    let next = world.tenancy.rotate_signing_key(&world.admin, &tenant("acme"), rotation).await.unwrap();
    assert_eq!(next.state, KeyState::Next);
    let waiting = world.token("acme").await;
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    assert_eq!(kid(&waiting), kid(&before), "a key signs before its time");
    world.clock.advance(rotation.lead);
    let after = world.token("acme").await;
    assert_eq!(kid(&after), next.kid);
    tokio::time::advance(Duration::from_secs(1)).await;
    for token in [&before, &waiting, &after] {
        assert_eq!(world.send_bearer(token).await.status(), StatusCode::OK);
        let request = http::Request::builder().header("authorization", format!("Bearer {token}"));
        let (head, ()) = request.body(()).unwrap().into_parts();
        other.authenticators().authenticate(&head).await.unwrap();
    }
    let states = |keys: Vec<mcp_tenancy::token::SigningKeyInfo>| -> Vec<_> {
        keys.into_iter().map(|key| key.state).collect()
    };
    let keys = world.tenancy.signing_keys(&world.admin, &tenant("acme")).await.unwrap();
    assert_eq!(states(keys), [KeyState::Active, KeyState::Retiring]);
    world.clock.advance(Duration::from_secs(24 * 3600 + 30));
    let keys = world.tenancy.signing_keys(&world.admin, &tenant("acme")).await.unwrap();
    assert_eq!(states(keys), [KeyState::Active, KeyState::Retired]);
}

/// A retired key vouches for nothing, whatever lives its thief writes into tokens.
#[tokio::test]
async fn what_a_retired_key_signs_is_refused() {
    let world = World::new().await;
    let (header, mut claims) = world.honest("acme").await;
    let (_, stolen) = world.stolen_key("acme").await;
    claims["exp"] = (NOW + 10 * 24 * 3600).into();
    let forged = sign(&header, &claims, &stolen, Algorithm::EdDSA);
    world.rotate("acme", SigningAlgorithm::EdDsa).await;
    assert_eq!(world.send_bearer(&forged).await.status(), StatusCode::OK, "the key still verifies");
    world.clock.advance(Duration::from_secs(24 * 3600 + 31));
    claims["jti"] = "another".into();
    let forged = sign(&header, &claims, &stolen, Algorithm::EdDSA);
    world.expect_unauthenticated(&forged, "a retired key").await;
}

#[tokio::test(start_paused = true)]
async fn what_a_removed_key_signed_is_refused() {
    let world = World::new().await;
    let other = world.other_replica().await;
    let (token, seen_elsewhere) = (world.token("acme").await, world.token("acme").await);
    let at_other = async |token: &str| {
        let request = http::Request::builder().header("authorization", format!("Bearer {token}"));
        let (head, ()) = request.body(()).unwrap().into_parts();
        other.authenticators().authenticate(&head).await
    };
    at_other(&seen_elsewhere).await.expect("the other replica knows the key");
    let stolen = world.stolen_key("acme").await.0.kid;
    assert_eq!(world.send_bearer(&token).await.status(), StatusCode::OK);
    let signs = world.tenancy.remove_signing_key(&world.admin, &tenant("acme"), &stolen).await;
    assert_eq!(signs.unwrap_err().kind(), ErrorKind::Conflict);
    world.rotate("acme", SigningAlgorithm::EdDsa).await;
    world.tenancy.remove_signing_key(&world.admin, &tenant("acme"), &stolen).await.unwrap();
    world.expect_unauthenticated(&token, "a removed key").await;
    assert_eq!(world.send_bearer(&world.token("acme").await).await.status(), StatusCode::OK);
    for _ in 0..120 {
        // In steps, so that the replica goes on following its tenants.
        tokio::time::advance(Duration::from_millis(250)).await;
        tokio::task::yield_now().await;
    }
    let refused = at_other(&token).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "elsewhere, after the keys were looked up again");
}

/// What anybody verifies with: the set of the tenant, and nothing of others.
#[tokio::test]
async fn the_jwks_verifies_the_tenants_tokens_and_no_others() {
    for algorithm in SigningAlgorithm::ALL {
        let world = world(algorithm).await;
        let (acme, beta) = (world.token("acme").await, world.token("beta").await);
        let set = world.tenancy.jwks(&tenant("acme")).await.unwrap();
        let verify = |token: &str| {
            let header = jsonwebtoken::decode_header(token).unwrap();
            let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap())?).unwrap();
            let mut validation = Validation::new(jwt(algorithm));
            validation.set_audience(&[crate::support::AUDIENCE]);
            validation.validate_exp = false;
            jsonwebtoken::decode::<Claims>(token, &key, &validation).ok()
        };
        assert_eq!(verify(&acme).unwrap().claims.tenant_id, tenant("acme"), "{algorithm:?}");
        assert!(verify(&beta).is_none(), "{algorithm:?}");
        world.tenancy.suspend_tenant(&world.admin, &tenant("acme")).await.unwrap();
        for nobody in ["acme", "no-such-tenant"] {
            assert!(world.tenancy.jwks(&tenant(nobody)).await.unwrap().keys.is_empty(), "{nobody}");
        }
    }
}

#[tokio::test]
async fn rotations_out_of_bounds_and_of_nobody_are_refused() {
    let world = World::new().await;
    for lead in [Duration::ZERO, MIN_LEAD - Duration::from_millis(1), 25 * HOUR] {
        let rotation = Rotation { lead, ..Rotation::default() };
        let refused = world.tenancy.rotate_signing_key(&world.admin, &tenant("acme"), rotation).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput, "{lead:?}");
    }
    let nobody = tenant("no-one");
    let refused = world.tenancy.rotate_signing_key(&world.admin, &nobody, Rotation::default()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
}
