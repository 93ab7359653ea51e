//! Attacks with tokens of foreign issuers. Each gets the same 401 and one record in the platform's chain.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey};
use mcp_tenancy::issuer::{IssuerSpec, KeySource, SigningAlgorithm, TokenCheck, TokenType};
use serde_json::{Value, json};

use crate::{
    issuers::{Foreign, Pair, Server, claims, spec},
    support::{AUDIENCE, NOW, message, sign, tenant},
};

const PUBLIC_PEM: &str = include_str!("../data/issuer-rsa.pub.pem");

async fn acme() -> (Foreign, Server, Pair) {
    let foreign = Foreign::new().await;
    let pair = Pair::rsa("k1");
    let server = foreign.with_issuer("login", "acme", &[&pair]).await;
    (foreign, server, pair)
}

#[tokio::test]
async fn the_forgers_honest_token_passes() {
    let foreign = Foreign::new().await;
    let pairs = [Pair::rsa("k1"), Pair::pss("k2"), Pair::es256("k3"), Pair::ed25519("k4")];
    let server = foreign.with_issuer("login", "acme", &pairs.each_ref()).await;
    for pair in &pairs {
        foreign.expect(&pair.sign(&claims(&server.url())), "login:ada of acme").await;
    }
    let mut newer = pairs[3].header();
    newer["alg"] = "Ed25519".into();
    let token = sign(&newer, &claims(&server.url()), &pairs[3].private, Algorithm::EdDSA);
    foreign.expect(&token, "login:ada of acme").await;
}

#[tokio::test]
async fn algorithm_confusion_is_refused() {
    let (foreign, server, pair) = acme().await;
    let claims = claims(&server.url());
    foreign.expect(&pair.sign(&claims), "login:ada of acme").await;
    let body: String = PUBLIC_PEM.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).unwrap();
    let spaced = [format!(" {PUBLIC_PEM}"), format!("\n{PUBLIC_PEM}"), format!("\t{PUBLIC_PEM}")];
    let mut secrets = vec![&der[..], PUBLIC_PEM.as_bytes(), PUBLIC_PEM.trim_end().as_bytes(), b""];
    secrets.extend(spaced.iter().map(|text| text.as_bytes()));
    let modulus = URL_SAFE_NO_PAD.decode(pair.public["n"].as_str().unwrap()).unwrap();
    secrets.push(&modulus);
    for (algorithm, name) in
        [(Algorithm::HS256, "HS256"), (Algorithm::HS384, "HS384"), (Algorithm::HS512, "HS512")]
    {
        for secret in &secrets {
            let key = EncodingKey::from_secret(secret);
            for alg in [name, "RS256", "PS256"] {
                let mut header = pair.header();
                header["alg"] = alg.into();
                foreign.expect_unauthenticated(&sign(&header, &claims, &key, algorithm), name).await;
            }
        }
    }
}

#[tokio::test]
async fn algorithm_none_is_refused() {
    let (foreign, server, pair) = acme().await;
    let mut header = pair.header();
    for name in ["none", "None", "NONE", "nOnE", "", "rs256", "RS256", "ES256", "RS384", "EdDSA", "dir"] {
        header["alg"] = name.into();
        for end in ["", ".", ".AA", ".none"] {
            let token = format!("{}{end}", message(&header, &claims(&server.url())));
            foreign.expect_unauthenticated(&token, name).await;
        }
    }
}

/// What a key may verify is pinned by the key and the declaration: a good signature in another algorithm is none.
#[tokio::test]
async fn an_algorithm_the_key_is_not_for_is_refused() {
    let foreign = Foreign::new().await;
    let (mut rsa, ec) = (Pair::rsa("k1"), Pair::es256("k2"));
    rsa.public["alg"] = "RS256".into();
    let server = foreign.with_issuer("login", "acme", &[&rsa, &ec]).await;
    let claims = claims(&server.url());
    foreign.expect(&rsa.sign(&claims), "login:ada of acme").await;
    let pss = Pair { algorithm: Algorithm::PS256, ..rsa.clone() };
    foreign.expect_unauthenticated(&pss.sign(&claims), "PS256 by a key for RS256").await;
    for (algorithm, name) in [(Algorithm::RS384, "RS384"), (Algorithm::RS512, "RS512")] {
        let other = Pair { algorithm, ..rsa.clone() };
        foreign.expect_unauthenticated(&other.sign(&claims), name).await;
    }
    let mut swapped = ec.header();
    swapped["kid"] = "k1".into();
    let token = sign(&swapped, &claims, &ec.private, Algorithm::ES256);
    foreign.expect_unauthenticated(&token, "another key's name").await;

    let only = TokenCheck::Jwt {
        keys: KeySource::Discovery,
        algorithms: [SigningAlgorithm::Rs256].into(),
        types: [TokenType::AccessToken].into(),
    };
    let (second, strict) = (Server::start().await, Foreign::new().await);
    second.publish(&[&rsa, &ec]);
    strict.declare("strict", IssuerSpec { check: only, ..spec("acme", second.url()) }).await;
    let claims = self::claims(&second.url());
    strict.expect(&rsa.sign(&claims), "strict:ada of acme").await;
    strict.expect_unauthenticated(&ec.sign(&claims), "an algorithm that was not declared").await;
}

#[tokio::test]
async fn claim_type_confusion_is_refused() {
    let (foreign, server, pair) = acme().await;
    let honest = claims(&server.url());
    let later = NOW + 3600;
    for (claim, value) in [
        ("exp", json!(later.to_string())),
        ("exp", json!(2_000_000_000.5)),
        ("exp", json!(2e9)),
        ("exp", json!(u64::MAX)),
        ("exp", json!([later])),
        ("exp", json!(true)),
        ("exp", Value::Null),
        ("nbf", json!(NOW.to_string())),
        ("nbf", json!("")),
        ("nbf", Value::Null),
        ("nbf", json!(NOW + 31)),
        ("iat", json!("now")),
        ("iat", json!(NOW + 31)),
        ("aud", json!([])),
        ("aud", json!("")),
        ("aud", json!([[AUDIENCE]])),
        ("aud", json!([AUDIENCE, 1])),
        ("aud", json!({ AUDIENCE: true })),
        ("aud", json!(format!("{AUDIENCE}/"))),
        ("aud", json!("https://evil.example/mcp")),
        ("aud", Value::Null),
        ("iss", json!([server.url()])),
        ("iss", json!(format!("{}/", server.url()))),
        ("iss", json!(server.url().to_uppercase())),
        ("iss", Value::Null),
        ("sub", json!(1)),
        ("sub", json!("")),
        ("sub", json!("a b")),
        ("sub", json!("x".repeat(128))),
        ("sub", json!(["ada"])),
        ("scope", json!({ "*": true })),
        ("scope", json!([["*"]])),
        ("scope", json!(7)),
        ("client_id", json!(7)),
        ("jti", json!(7)),
        ("jti", json!("")),
        ("jti", json!("j".repeat(257))),
        ("cnf", json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" })),
    ] {
        let mut claims = honest.clone();
        claims[claim] = value.clone();
        foreign.expect_unauthenticated(&pair.sign(&claims), &format!("{claim} = {value}")).await;
    }
    for claim in ["iss", "aud", "sub", "exp"] {
        let mut claims = honest.clone();
        claims.as_object_mut().unwrap().remove(claim);
        foreign.expect_unauthenticated(&pair.sign(&claims), &format!("without {claim}")).await;
    }
    for (claim, value) in [("aud", json!(["https://other.example", AUDIENCE])), ("nbf", json!(NOW + 30))] {
        let mut claims = honest.clone();
        claims[claim] = value;
        foreign.expect(&pair.sign(&claims), "login:ada of acme").await;
    }
}

#[tokio::test]
async fn a_claim_or_header_given_twice_is_refused() {
    let (foreign, server, pair) = acme().await;
    let (header, claims) = (pair.header().to_string(), claims(&server.url()).to_string());
    for (header, claims) in [
        (header.clone(), claims.replacen('{', "{\"sub\":\"root\",", 1)),
        (header.clone(), claims.replacen('{', &format!("{{\"exp\":{},", NOW + 9), 1)),
        (header.replacen('{', "{\"alg\":\"none\",", 1), claims.clone()),
    ] {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &pair.private, pair.algorithm).unwrap();
        foreign.expect_unauthenticated(&format!("{message}.{signature}"), &message).await;
    }
}

#[tokio::test]
async fn kid_injection_is_refused() {
    let (foreign, server, pair) = acme().await;
    let claims = claims(&server.url());
    foreign.expect(&pair.sign(&claims), "login:ada of acme").await;
    let asked = server.requests();
    let long = "k".repeat(64 * 1024);
    for kid in [
        "",
        "../../../dev/null",
        "/etc/passwd",
        "' OR '1'='1",
        "k1' UNION SELECT 'x",
        "k1\0",
        "k1 ",
        "K1",
        "é",
        &long,
        &long[..5000],
        "http://127.0.0.1/k1",
    ] {
        let mut header = pair.header();
        header["kid"] = kid.into();
        let token = sign(&header, &claims, &pair.private, pair.algorithm);
        foreign.expect_unauthenticated(&token, &kid[..kid.len().min(20)]).await;
    }
    for kid in [Value::Null, json!(1), json!(["k1"]), json!({ "$ne": "" })] {
        let mut header = pair.header();
        header["kid"] = kid;
        let token = sign(&header, &claims, &pair.private, pair.algorithm);
        foreign.expect_unauthenticated(&token, "kid's type").await;
    }
    assert_eq!(server.requests(), asked, "a kid that cannot be, or the second unknown one, asked the issuer");
}

/// Keys that a token names or brings along are looked at by nobody: they give no trust and cause no egress. A token
/// that is good without them is good with them, as some issuers put `jku` into every token.
#[tokio::test]
async fn jku_x5u_and_jwk_cause_no_egress_and_no_trust() {
    let (foreign, server, pair) = acme().await;
    let (elsewhere, thief) = (Server::start().await, Pair::es256("thief"));
    elsewhere.publish(&[&thief]);
    let claims = claims(&server.url());
    for (parameter, value) in [
        ("jku", json!(format!("{}/jwks", elsewhere.url()))),
        ("x5u", json!(format!("{}/cert.pem", elsewhere.url()))),
        ("x5c", json!(["AAAA"])),
        ("jwk", thief.public.clone()),
    ] {
        let mut header = thief.header();
        header[parameter] = value.clone();
        let forged = sign(&header, &claims, &thief.private, thief.algorithm);
        foreign.expect_unauthenticated(&forged, parameter).await;
        let mut header = pair.header();
        header[parameter] = value;
        let good = sign(&header, &claims, &pair.private, pair.algorithm);
        foreign.expect(&good, "login:ada of acme").await;
    }
    assert_eq!(elsewhere.requests(), 0, "a header caused egress");
    for (parameter, value) in
        [("crit", json!(["exp"])), ("b64", json!(false)), ("zip", json!("DEF")), ("enc", json!("A128GCM"))]
    {
        let mut header = pair.header();
        header[parameter] = value;
        let token = sign(&header, &claims, &pair.private, pair.algorithm);
        foreign.expect_unauthenticated(&token, parameter).await;
    }
}

#[tokio::test]
async fn a_token_of_another_type_is_refused() {
    let (foreign, server, pair) = acme().await;
    let claims = claims(&server.url());
    let typed = |typ: Value| {
        let mut header = pair.header();
        header["typ"] = typ;
        sign(&header, &claims, &pair.private, pair.algorithm)
    };
    for typ in ["JWT", "", "id_token", "logout+jwt", "dpop+jwt", "at+jwt ", "text/at+jwt"] {
        foreign.expect_unauthenticated(&typed(typ.into()), typ).await;
    }
    for typ in [Value::Null, json!(["at+jwt"])] {
        foreign.expect_unauthenticated(&typed(typ), "typ's type").await;
    }
    for typ in ["AT+JWT", "application/at+jwt"] {
        foreign.expect(&typed(typ.into()), "login:ada of acme").await;
    }
}

/// Issuer × key × tenant claim × header: only where all four agree is the token good, and then for that tenant. All
/// keys have the same kid.
#[tokio::test]
async fn cross_tenant_tokens_are_refused_in_every_combination() {
    let foreign = Foreign::new().await;
    let owners = ["acme", "beta", "-"];
    let pairs = owners.map(|_| Pair::es256("k1"));
    let mut servers = Vec::new();
    for (n, owner) in owners.iter().enumerate() {
        let server = Server::start().await;
        server.publish(&[&pairs[n]]);
        let mut spec = spec(owner, server.url());
        spec.claims.tenant = Some("tenant".to_owned());
        foreign.declare(&format!("i{n}"), spec).await;
        servers.push(server);
    }
    let mut passed = 0;
    for (issuer, owner) in owners.iter().enumerate() {
        for (key, pair) in pairs.iter().enumerate() {
            for claimed in ["acme", "beta", "ACME", ""] {
                for header in [None, Some("acme"), Some("beta")] {
                    let mut claims = claims(&servers[issuer].url());
                    claims["tenant"] = claimed.into();
                    let bearer = format!("Bearer {}", pair.sign(&claims));
                    let mut headers = vec![("authorization", bearer.as_str())];
                    headers.extend(header.map(|tenant| ("x-tenant-id", tenant)));
                    let response = foreign.send(&headers).await;
                    let what = format!("issuer of {owner}, key {key}, claim {claimed:?}, header {header:?}");
                    let genuine = issuer == key
                        && ["acme", "beta"].contains(&claimed)
                        && ["-", claimed].contains(owner);
                    if !genuine {
                        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{what}");
                    } else if header.is_some_and(|header| header != claimed) {
                        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{what}");
                    } else {
                        assert_eq!(
                            response.body(),
                            format!("i{issuer}:ada of {claimed}").as_bytes(),
                            "{what}"
                        );
                        passed += 1;
                    }
                }
            }
        }
    }
    assert_eq!(passed, 8);
}

/// Two tenants trust one issuer: audience or tenant claim must say whose token it is.
#[tokio::test]
async fn one_url_of_two_tenants_is_never_guessed() {
    let foreign = Foreign::new().await;
    let (server, pair) = (Server::start().await, Pair::es256("k1"));
    server.publish(&[&pair]);
    let of = |owner: &str, audiences: &[&str]| IssuerSpec {
        audiences: audiences.iter().map(ToString::to_string).collect(),
        ..spec(owner, server.url())
    };
    foreign.declare("a", of("acme", &["https://a.example", AUDIENCE])).await;
    foreign.declare("b", of("beta", &["https://b.example", AUDIENCE])).await;
    let token = |audience: Value| {
        let mut claims = claims(&server.url());
        claims["aud"] = audience;
        pair.sign(&claims)
    };
    foreign.expect(&token(json!("https://a.example")), "a:ada of acme").await;
    foreign.expect(&token(json!("https://b.example")), "b:ada of beta").await;
    foreign.expect_unauthenticated(&token(json!(AUDIENCE)), "an audience of both").await;
    let both = token(json!(["https://a.example", "https://b.example"]));
    foreign.expect_unauthenticated(&both, "both audiences").await;
    foreign.expect_unauthenticated(&token(json!("https://c.example")), "no audience").await;
}

#[tokio::test]
async fn every_prefix_and_every_alteration_of_a_token_is_refused() {
    let (foreign, server, _) = acme().await;
    let pair = Pair::es256("k9");
    server.publish(&[&pair]);
    let token = pair.sign(&claims(&server.url()));
    foreign.expect(&token, "login:ada of acme").await;
    for end in 1..token.len() {
        foreign.expect_unauthenticated(&token[..end], &format!("length {end}")).await;
    }
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        foreign.expect_unauthenticated(std::str::from_utf8(&bytes).unwrap(), &format!("byte {at}")).await;
    }
    for longer in [format!("{token}A"), format!("{token}="), format!("{token}."), format!(".{token}")] {
        foreign.expect_unauthenticated(&longer, "longer").await;
    }
    let mut large = claims(&server.url());
    large["padding"] = "x".repeat(8 * 1024).into();
    foreign.expect_unauthenticated(&pair.sign(&large), "over 8 KiB").await;
}

/// Equal subjects of two issuers are two principals, and neither is one of the platform's.
#[tokio::test]
async fn a_subject_is_its_issuer_s_alone() {
    let foreign = Foreign::new().await;
    let (one, two) = (Pair::es256("k"), Pair::es256("k"));
    let first = foreign.with_issuer("one", "acme", &[&one]).await;
    let second = foreign.with_issuer("two", "acme", &[&two]).await;
    foreign.expect(&one.sign(&claims(&first.url())), "one:ada of acme").await;
    foreign.expect(&two.sign(&claims(&second.url())), "two:ada of acme").await;
    foreign.expect_unauthenticated(&one.sign(&claims(&second.url())), "the same kid at two issuers").await;
    let unknown = claims("https://evil.example");
    foreign.expect_unauthenticated(&one.sign(&unknown), "an issuer nobody declared").await;
    assert_eq!(
        foreign.tenancy.issuers(&foreign.admin, Some(&tenant("acme")), None, 9).await.unwrap().items.len(),
        2
    );
}
