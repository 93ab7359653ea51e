//! Attacks on the platform's own tokens. Each gets the same 401 and one record in the platform's chain.

use std::time::Duration;

use crate::support::{AUDIENCE, ISSUER, NOW, World, message, principal, sign, tenant};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey};
use mcp_core::clock::Timestamp;
use serde_json::{Value, json};

/// The DER prefix of an Ed25519 `SubjectPublicKeyInfo`.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[tokio::test]
async fn the_forgers_honest_token_passes() {
    let world = World::new().await;
    let (header, claims) = world.honest("acme").await;
    let (_, key) = world.stolen_key("acme").await;
    let response = world.send_bearer(&sign(&header, &claims, &key, Algorithm::EdDSA)).await;
    assert_eq!(response.status(), StatusCode::OK, "the attacks below would prove nothing");
    assert_eq!(response.body(), "user-1 of acme");
}

#[tokio::test]
async fn algorithm_confusion_is_refused() {
    let world = World::new().await;
    let (mut header, claims) = world.honest("acme").await;
    let (stored, _) = world.stolen_key("acme").await;
    let der = [&SPKI[..], &stored.public].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&der));
    let spaced = format!(" \n{pem}");
    for (algorithm, name) in
        [(Algorithm::HS256, "HS256"), (Algorithm::HS384, "HS384"), (Algorithm::HS512, "HS512")]
    {
        for secret in [&stored.public[..], &der, pem.as_bytes(), pem.trim_end().as_bytes(), spaced.as_bytes()]
        {
            let key = EncodingKey::from_secret(secret);
            header["alg"] = name.into();
            world.expect_unauthenticated(&sign(&header, &claims, &key, algorithm), name).await;
            header["alg"] = "EdDSA".into();
            world.expect_unauthenticated(&sign(&header, &claims, &key, algorithm), "as EdDSA").await;
        }
    }
}

#[tokio::test]
async fn algorithm_none_is_refused() {
    let world = World::new().await;
    let (mut header, claims) = world.honest("acme").await;
    for name in ["none", "None", "NONE", "nOnE", "", "ES256", "RS256", "eddsa", "EdDSA"] {
        header["alg"] = name.into();
        for end in ["", ".", ".AA", ".none"] {
            world.expect_unauthenticated(&format!("{}{end}", message(&header, &claims)), name).await;
        }
    }
}

#[tokio::test]
async fn claim_type_confusion_is_refused() {
    let world = World::new().await;
    let (header, honest) = world.honest("acme").await;
    let (_, key) = world.stolen_key("acme").await;
    let later = NOW + 3600;
    for (claim, value) in [
        ("exp", json!(later.to_string())),
        ("exp", json!(f64::from(2_000_000_000) + 0.5)),
        ("exp", json!(u64::MAX)),
        ("exp", json!([later])),
        ("exp", json!(true)),
        ("exp", Value::Null),
        ("nbf", json!((NOW + 1_000_000).to_string())),
        ("nbf", json!("")),
        ("nbf", Value::Null),
        ("iat", json!("now")),
        ("aud", json!(AUDIENCE)),
        ("aud", json!({ AUDIENCE: true })),
        ("aud", json!([[AUDIENCE]])),
        ("aud", Value::Null),
        ("iss", json!([format!("{ISSUER}/t/acme")])),
        ("sub", json!(1)),
        ("tenant_id", json!(["acme"])),
        ("permissions", json!("*")),
        ("permissions", json!([{ "*": true }])),
        ("principal_kind", json!("root")),
        ("jti", json!(7)),
    ] {
        let mut claims = honest.clone();
        claims[claim] = value.clone();
        let token = sign(&header, &claims, &key, Algorithm::EdDSA);
        world.expect_unauthenticated(&token, &format!("{claim} = {value}")).await;
    }
    for claim in honest.as_object().unwrap().keys() {
        let mut claims = honest.clone();
        claims.as_object_mut().unwrap().remove(claim);
        let token = sign(&header, &claims, &key, Algorithm::EdDSA);
        world.expect_unauthenticated(&token, &format!("without {claim}")).await;
    }
}

#[tokio::test]
async fn a_claim_given_twice_is_refused() {
    let world = World::new().await;
    let (header, claims) = world.honest("acme").await;
    let (_, key) = world.stolen_key("acme").await;
    let twice = claims.to_string().replacen('{', "{\"tenant_id\":\"beta\",", 1);
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(twice));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap();
    world.expect_unauthenticated(&format!("{message}.{signature}"), "tenant_id twice").await;
}

#[tokio::test]
async fn kid_injection_is_refused() {
    let world = World::new().await;
    let (mut header, claims) = world.honest("acme").await;
    let (_, key) = world.stolen_key("acme").await;
    let long = "k".repeat(64 * 1024);
    for kid in [
        "",
        "../../../dev/null",
        "/etc/passwd",
        "' OR '1'='1",
        "k\0",
        "é",
        "a b",
        "unknown",
        &long,
        &long[..7000],
    ] {
        header["kid"] = kid.into();
        let token = sign(&header, &claims, &key, Algorithm::EdDSA);
        world.expect_unauthenticated(&token, &kid[..kid.len().min(20)]).await;
    }
    for kid in [Value::Null, json!(1), json!(["a"]), json!({ "$ne": "" })] {
        header["kid"] = kid;
        world.expect_unauthenticated(&sign(&header, &claims, &key, Algorithm::EdDSA), "kid's type").await;
    }
}

/// There is no client in this crate that could fetch anything; a key named by URL or brought along is not
/// even ignored.
#[tokio::test]
async fn jku_x5u_and_jwk_are_refused() {
    let world = World::new().await;
    let (honest, claims) = world.honest("acme").await;
    let (stored, key) = world.stolen_key("acme").await;
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&stored.public) });
    for (parameter, value) in [
        ("jku", json!("http://127.0.0.1:9/jwks.json")),
        ("x5u", json!("http://127.0.0.1:9/cert.pem")),
        ("x5c", json!(["AAAA"])),
        ("jwk", jwk),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
    ] {
        let mut header = honest.clone();
        header[parameter] = value;
        world.expect_unauthenticated(&sign(&header, &claims, &key, Algorithm::EdDSA), parameter).await;
    }
}

/// Issuer × key × kid × tenant claim: only where all four are one tenant's is the token good, and then for
/// that tenant.
#[tokio::test]
async fn cross_tenant_tokens_are_refused_in_every_combination() {
    let world = World::new().await;
    let tenants = ["acme", "beta"];
    let mut passed = 0;
    for issuer in tenants {
        for key_of in tenants {
            for kid_of in tenants {
                for claimed in tenants {
                    let (header, _) = world.honest(kid_of).await;
                    let (_, mut claims) = world.honest(issuer).await;
                    claims["tenant_id"] = claimed.into();
                    let (_, key) = world.stolen_key(key_of).await;
                    let token = sign(&header, &claims, &key, Algorithm::EdDSA);
                    let what = format!("iss {issuer}, key {key_of}, kid {kid_of}, claim {claimed}");
                    if [key_of, kid_of, claimed] == [issuer; 3] {
                        let response = world.send_bearer(&token).await;
                        assert_eq!(response.body(), format!("user-1 of {issuer}").as_bytes(), "{what}");
                        passed += 1;
                    } else {
                        world.expect_unauthenticated(&token, &what).await;
                    }
                }
            }
        }
    }
    assert_eq!(passed, 2);
}

#[tokio::test]
async fn other_issuers_and_audiences_are_refused() {
    let world = World::new().await;
    let (header, honest) = world.honest("acme").await;
    let (_, key) = world.stolen_key("acme").await;
    for (claim, value) in [
        ("iss", json!(ISSUER)),
        ("iss", json!(format!("{ISSUER}/t/"))),
        ("iss", json!(format!("{ISSUER}/t/acme/"))),
        ("iss", json!(format!("{ISSUER}/t/../t/acme"))),
        ("iss", json!(format!("{ISSUER}.evil.example/t/acme"))),
        ("iss", json!(format!("{ISSUER}/t/ACME"))),
        ("iss", json!(format!("{ISSUER}/t/nobody"))),
        ("iss", json!("https://evil.example/t/acme")),
        ("aud", json!([])),
        ("aud", json!(["https://platform.example"])),
        ("aud", json!([format!("{AUDIENCE}/")])),
        ("aud", json!(["https://evil.example/mcp"])),
    ] {
        let mut claims = honest.clone();
        claims[claim] = value.clone();
        let token = sign(&header, &claims, &key, Algorithm::EdDSA);
        world.expect_unauthenticated(&token, &format!("{claim} = {value}")).await;
    }
    let mut header = header;
    for typ in ["JWT", "jwt", "", "AT+JWT", "id_token", "logout+jwt"] {
        header["typ"] = typ.into();
        world.expect_unauthenticated(&sign(&header, &honest, &key, Algorithm::EdDSA), typ).await;
    }
}

#[tokio::test]
async fn every_prefix_of_a_token_is_refused() {
    let world = World::new().await;
    let token = world.token("acme").await;
    assert_eq!(world.send_bearer(&token).await.status(), StatusCode::OK);
    for end in 1..token.len() {
        world.expect_unauthenticated(&token[..end], &format!("length {end}")).await;
    }
}

#[tokio::test]
async fn altered_and_overlong_tokens_are_refused() {
    let world = World::new().await;
    let token = world.token("acme").await;
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        world.expect_unauthenticated(std::str::from_utf8(&bytes).unwrap(), &format!("byte {at}")).await;
    }
    for longer in
        [format!("{token}A"), format!("{token}="), format!("{token}."), format!(".{token}"), "A".repeat(9000)]
    {
        world.expect_unauthenticated(&longer, "longer").await;
    }
}

#[tokio::test]
async fn times_are_checked_on_every_use() {
    let world = World::new().await;
    let token = world.token("acme").await;
    assert_eq!(world.send_bearer(&token).await.status(), StatusCode::OK);
    world.clock.set(Timestamp::from_micros((NOW + 3600) * 1_000_000 - 1));
    assert_eq!(world.send_bearer(&token).await.status(), StatusCode::OK);
    world.clock.set(Timestamp::from_micros((NOW + 3600) * 1_000_000));
    world.expect_unauthenticated(&token, "expired, though verified before").await;
    world.clock.set(Timestamp::from_micros((NOW - 60) * 1_000_000));
    world.expect_unauthenticated(&token, "not good yet, though verified before").await;
    let (header, mut claims) = world.honest("acme").await;
    let (_, key) = world.stolen_key("acme").await;
    claims["nbf"] = (NOW + 600).into();
    world.expect_unauthenticated(&sign(&header, &claims, &key, Algorithm::EdDSA), "nbf in the future").await;
}

#[tokio::test]
async fn lives_out_of_bounds_are_refused() {
    let world = World::new().await;
    for seconds in [0, 24 * 3600 + 1, u64::MAX] {
        let life = Duration::from_secs(seconds);
        let issued = world.tenancy.issue_token(&world.admin, &tenant("acme"), &principal("u"), life).await;
        assert_eq!(issued.unwrap_err().kind(), mcp_core::ErrorKind::InvalidInput, "{seconds} s");
    }
    let (nobody, hour) = (tenant("no-one"), Duration::from_secs(3600));
    let unknown = world.tenancy.issue_token(&world.admin, &nobody, &principal("u"), hour).await;
    assert_eq!(unknown.unwrap_err().kind(), mcp_core::ErrorKind::NotFound);
}

#[tokio::test]
async fn many_first_tokens_at_once_share_one_key() {
    let world = World::new().await;
    let tokens = futures_util::future::join_all((0..16).map(|_| world.token("acme"))).await;
    let header = |token: &String| token.split('.').next().unwrap().to_owned();
    assert!(tokens.iter().all(|token| header(token) == header(&tokens[0])));
    for token in &tokens {
        assert_eq!(world.send_bearer(token).await.status(), StatusCode::OK);
    }
}
