//! Whatever one tenant does, what another can observe stays byte for byte what it was.

use std::sync::atomic::{AtomicU32, Ordering};

use mcp_core::conformance::PgTestDatabase;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};

use crate::{
    broken,
    observed::{Bucket, Observed},
    operations::{Actor, LIMIT, Operation, operation},
    world::{Store, World, Wrap},
};

/// Sequences of operations on each database, and the longest.
const CASES: u32 = 16;
const CASES_POSTGRES: u32 = 8;
const OPERATIONS: usize = 30;
/// Set to a seed that a failure printed, it makes the same sequences again.
const SEED: &str = "MCP_TEST_SEED";

/// Runs this many sequences on one platform, each with two new tenants.
fn observe(world: &World, runtime: &tokio::runtime::Runtime, cases: u32) -> Result<(), String> {
    let seed = seed();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = Config { cases, max_shrink_iters: 24, failure_persistence: None, ..Config::default() };
    let number = AtomicU32::new(0);
    let ran = TestRunner::new_with_rng(config, rng).run(&vec(operation(), 1..=OPERATIONS), |operations| {
        let case = number.fetch_add(1, Ordering::Relaxed);
        runtime.block_on(one(world, case, &operations)).map_err(TestCaseError::fail)
    });
    ran.map_err(|error| match error {
        TestError::Fail(reason, operations) => {
            format!("{reason}\nwith {SEED}={}, after {operations:#?}", hex(&seed))
        }
        TestError::Abort(reason) => reason.to_string(),
    })
}

/// One sequence of operations, between two looks.
async fn one(world: &World, case: u32, operations: &[Operation]) -> Result<(), String> {
    let mut actor = Actor::set_up(world.tenant(&format!("actor-{case}"), LIMIT).await).await;
    let caller = world.tenant(&format!("observed-{case}"), Bucket::OF_THE_OBSERVED).await;
    let observed = Observed::set_up(world, caller, actor.others()).await;
    // Fills what is filled on first use.
    observed.look().await?;
    let before = observed.look().await?;
    let (audit, metrics) = (observed.audit(world).await?, observed.metrics(world));

    for operation in operations {
        actor.act(operation, &observed).await?;
    }

    let (audit_after, metrics_after) = (observed.audit(world).await?, observed.metrics(world));
    let after = observed.look().await?;
    if let Some(difference) = audit.difference(&audit_after).or_else(|| before.difference(&after)) {
        return Err(difference);
    }
    if metrics != metrics_after {
        return Err(format!("its metrics were {metrics:#?} and are {metrics_after:#?}"));
    }
    observed.goes_on(world).await
}

fn on(store: &Store, wrap: Wrap, cases: u32) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::open(store, wrap));
    let observed = observe(&world, &runtime, cases);
    runtime.block_on(world.close());
    observed
}

#[test]
fn nothing_a_tenant_does_is_observed_by_another() {
    on(&Store::Sqlite, |router| router, CASES).unwrap_or_else(|seen| panic!("{seen}"));
}

#[test]
fn nothing_a_tenant_does_is_observed_by_another_in_a_shared_file() {
    on(&Store::SqliteRow, |router| router, CASES).unwrap_or_else(|seen| panic!("{seen}"));
}

#[test]
fn nothing_a_tenant_does_is_observed_by_another_in_shared_tables() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(PgTestDatabase::create()).unwrap();
    let config = &database.config;
    let urls = [config.app.clone(), config.owner.clone().unwrap(), config.relay.clone().unwrap()];
    on(&Store::Postgres(urls), |router| router, CASES_POSTGRES).unwrap_or_else(|seen| panic!("{seen}"));
    runtime.block_on(database.destroy()).unwrap();
}

/// The property bites: a part that leaks is found out.
#[test]
fn a_limiter_that_forgets_the_tenant_is_found_out() {
    let seen = on(&Store::Sqlite, broken::limiter_without_tenant, CASES).unwrap_err();
    assert!(seen.contains("the limit says"), "{seen}");
}

#[test]
fn a_list_that_forgets_the_tenant_is_found_out() {
    let seen = on(&Store::Sqlite, broken::list_without_tenant, CASES).unwrap_err();
    assert!(seen.contains("contexts was") || seen.contains("shows what is the observed"), "{seen}");
}

#[test]
fn a_ranking_by_the_words_of_all_tenants_is_found_out() {
    let seen = on(&Store::SqliteRow, broken::ranking_without_tenant, CASES).unwrap_err();
    assert!(seen.contains("recalling"), "{seen}");
}

fn seed() -> [u8; 32] {
    if let Ok(given) = std::env::var(SEED) {
        let digits = |n: usize| u8::from_str_radix(given.get(2 * n..2 * n + 2)?, 16).ok();
        return std::array::from_fn(|n| digits(n).unwrap_or_else(|| panic!("{SEED} is not 64 hex digits")));
    }
    let halves = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    std::array::from_fn(|n| halves[n / 16].as_bytes()[n % 16])
}

fn hex(seed: &[u8]) -> String {
    seed.iter().map(|byte| format!("{byte:02x}")).collect()
}
