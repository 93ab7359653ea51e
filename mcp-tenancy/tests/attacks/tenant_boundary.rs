//! Attacks on the boundary between tenants, and what a suspension does in mid-flow.

use std::{sync::Arc, time::Duration};

use crate::support::{World, assert_unauthenticated, principal, tenant};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use mcp_core::{Error, ErrorKind, Scope, audit::Chain};
use mcp_tenancy::layer::{AuthenticateLayer, TenantLayer, require_own_tenant};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

#[tokio::test]
async fn header_and_claim_that_agree_pass() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", world.token("acme").await);
    for headers in
        [vec![("authorization", &*bearer)], vec![("authorization", &*bearer), ("X-TENANT-id", "acme")]]
    {
        let response = world.send(&headers).await;
        assert_eq!((response.status(), &**response.body()), (StatusCode::OK, &b"user-1 of acme"[..]));
        assert_eq!(response.headers()["ratelimit-limit"], "600");
    }
    assert!(world.denials.take().is_empty());
}

/// Another tenant, none such, malformed, twice, in another spelling: the same bytes, recorded for the tenant
/// of the credential alone.
#[tokio::test]
async fn header_smuggling_gets_one_answer() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", world.token("acme").await);
    let unknown = world.send(&[("authorization", &bearer), ("x-tenant-id", "no-such-tenant")]).await;
    assert_eq!(unknown.status(), StatusCode::FORBIDDEN);
    world.denials.take();
    let attempts: &[&[(&str, &str)]] = &[
        &[("x-tenant-id", "beta")],
        &[("X-Tenant-Id", "beta")],
        &[("x-tenant-id", "acme"), ("x-tenant-id", "beta")],
        &[("x-tenant-id", "beta"), ("x-tenant-id", "acme")],
        &[("x-tenant-id", "acme"), ("x-tenant-id", "acme")],
        &[("x_tenant_id", "beta")],
        &[("X_Tenant_ID", "acme")],
        &[("x-tenant-id", "acme"), ("x_tenant_id", "beta")],
        &[("x-tenant-id", "acme"), ("x-tenant_id", "acme")],
        &[("xtenantid", "acme")],
        &[("x-tenant-id", "")],
        &[("x-tenant-id", "Acme")],
        &[("x-tenant-id", "acme,beta")],
        &[("x-tenant-id", "acme ,acme")],
        &[("x-tenant-id", "../beta")],
        &[("x-tenant-id", "' OR 1=1 --")],
        &[("x-tenant-id", "platform")],
    ];
    for attempt in attempts {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(attempt.iter());
        let response = world.send(&headers).await;
        assert_eq!(response.status(), unknown.status(), "{attempt:?}");
        assert_eq!(response.headers(), unknown.headers(), "{attempt:?}");
        assert_eq!(response.body(), unknown.body(), "{attempt:?}");
        let denials = world.denials.take();
        assert_eq!(denials.len(), 1, "{attempt:?}");
        assert_eq!(denials[0].0, Chain::Tenant(tenant("acme")), "{attempt:?}");
        assert_eq!((denials[0].1.actor.as_str(), &*denials[0].1.action), ("user-1", "tenant.denied"));
    }
}

#[tokio::test]
async fn forwarding_headers_move_nothing() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", world.token("acme").await);
    for name in ["x-forwarded-host", "x-forwarded-for", "x-original-url", "forwarded", "x-user-id", "host"] {
        let response = world.send(&[("authorization", &bearer), (name, "beta")]).await;
        assert_eq!(response.body(), "user-1 of acme", "{name}");
    }
}

#[tokio::test]
async fn no_credentials_get_nothing_whatever_tenant_they_name() {
    let world = World::new().await;
    let plain = world.send(&[]).await;
    assert_unauthenticated(&plain, "nothing");
    for name in ["acme", "no-such-tenant"] {
        let response = world.send(&[("x-tenant-id", name)]).await;
        assert_eq!((response.headers(), response.body()), (plain.headers(), plain.body()), "{name}");
    }
    assert!(world.denials.take().iter().all(|(chain, _)| *chain == Chain::Platform));
}

#[tokio::test]
async fn a_tenant_in_path_or_body_must_be_ones_own() {
    let scope = Scope::new(tenant("acme"), Arc::new(principal("user-1")));
    require_own_tenant(&scope, "acme").unwrap();
    let messages = ["beta", "no-such-tenant", "", "ACME"]
        .map(|named| require_own_tenant(&scope, named).unwrap_err())
        .map(|error| (error.kind(), error.to_string()));
    assert!(messages.iter().all(|message| *message == messages[0]), "{messages:?}");
    assert_eq!(messages[0].0, ErrorKind::PermissionDenied);
}

#[tokio::test(start_paused = true)]
async fn every_grant_of_a_suspended_tenant_fails() {
    let world = World::new().await;
    let token = world.token("acme").await;
    let key = world.api_key("acme").await;
    for credential in [&token, key.text.expose()] {
        assert_eq!(world.send_bearer(credential).await.status(), StatusCode::OK);
    }
    world.tenancy.suspend_tenant(&world.admin, &tenant("acme")).await.unwrap();
    world.denials.take();
    for credential in [&token, key.text.expose()] {
        assert_eq!(world.send_bearer(credential).await.status(), StatusCode::FORBIDDEN);
    }
    assert!(world.denials.take().iter().all(|(chain, _)| *chain == Chain::Tenant(tenant("acme"))));
    let life = Duration::from_secs(60);
    let more = world.tenancy.issue_token(&world.admin, &tenant("acme"), &principal("u"), life).await;
    assert_eq!(more.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(world.send_bearer(&world.token("beta").await).await.status(), StatusCode::OK);

    world.tenancy.resume_tenant(&world.admin, &tenant("acme")).await.unwrap();
    assert_eq!(world.send_bearer(&token).await.status(), StatusCode::OK);
}

/// As tenants are told: refused on every replica within a second, though another one deleted it.
#[tokio::test(start_paused = true)]
async fn a_deletion_elsewhere_refuses_every_grant_within_a_second() {
    let world = World::new().await;
    let (token, key) = (world.token("acme").await, world.api_key("acme").await);
    let credentials = [token.as_str(), key.text.expose()];
    for credential in credentials {
        assert_eq!(world.send_bearer(credential).await.status(), StatusCode::OK);
    }
    let elsewhere = world.other_replica().await;
    let day = Duration::from_secs(24 * 3600);
    elsewhere.delete_tenant(&world.admin, &tenant("acme"), day).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    for credential in credentials {
        assert_eq!(world.send_bearer(credential).await.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(world.send_bearer(&world.token("beta").await).await.status(), StatusCode::OK);
    elsewhere.restore_tenant(&world.admin, &tenant("acme")).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    for credential in credentials {
        assert_eq!(world.send_bearer(credential).await.status(), StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspension_ends_calls_in_flight_and_open_streams() {
    let world = World::new().await;
    let token = world.token("acme").await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let receiver = Arc::new(tokio::sync::Mutex::new(Some(receiver)));
    let inside = service_fn(move |request: Request<()>| {
        let receiver = receiver.clone();
        async move {
            if request.uri() == "/hang" {
                std::future::pending::<()>().await;
            }
            let receiver = receiver.lock().await.take().expect("one stream");
            let frames = futures_util::stream::unfold(receiver, async |mut receiver| {
                let data = receiver.recv().await?;
                Some((Ok::<_, Error>(http_body::Frame::data(data)), receiver))
            });
            Ok::<_, Error>(Response::new(StreamBody::new(Box::pin(frames))))
        }
    });
    let stack = ServiceBuilder::new()
        .layer(AuthenticateLayer::new(world.tenancy.authenticators(), world.denials.clone()))
        .layer(TenantLayer::new(world.tenancy.directory().clone(), world.denials.clone()))
        .service(inside);
    let request = |path: &str| {
        let request = Request::builder().uri(path).header("authorization", format!("Bearer {token}"));
        request.body(()).unwrap()
    };
    let hanging = tokio::spawn(stack.clone().oneshot(request("/hang")));
    let mut stream = stack.oneshot(request("/stream")).await.unwrap().into_body();
    sender.send(Bytes::from_static(b"one")).await.unwrap();
    assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), "one");

    let start = tokio::time::Instant::now();
    world.tenancy.suspend_tenant(&world.admin, &tenant("acme")).await.unwrap();
    let cut = stream.frame().await.unwrap().unwrap_err();
    assert_eq!(cut.downcast::<Error>().unwrap().kind(), ErrorKind::PermissionDenied);
    assert!(stream.frame().await.is_none(), "the stream goes on after its error");
    assert_eq!(hanging.await.unwrap().err().unwrap().kind(), ErrorKind::PermissionDenied);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_answered_with_its_figures_and_recorded_for_the_tenant() {
    let world = World::new().await;
    let mut profile = world.tenancy.tenant(&world.admin, &tenant("acme")).await.unwrap().profile;
    profile.limits.requests_per_minute = std::num::NonZeroU32::new(2).unwrap();
    world.tenancy.update_tenant(&world.admin, &tenant("acme"), profile, 1).await.unwrap();
    let token = world.token("acme").await;
    for remaining in ["1", "0"] {
        let response = world.send_bearer(&token).await;
        assert_eq!(response.headers()["ratelimit-remaining"], remaining);
    }
    let refused = world.send_bearer(&token).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "30");
    assert_eq!(refused.headers()["ratelimit-limit"], "2");
    assert_eq!(refused.headers()["ratelimit-remaining"], "0");
    let denials = world.denials.take();
    assert_eq!((&denials[0].0, &*denials[0].1.action), (&Chain::Tenant(tenant("acme")), "limit.denied"));
    assert_eq!(world.send_bearer(&world.token("beta").await).await.status(), StatusCode::OK);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(world.send_bearer(&token).await.status(), StatusCode::OK);
}
