//! The suite of the SQL kernel: what it needs of a kernel, and kernels broken on purpose.

use std::{future::Future, sync::Arc};

use futures_util::future::BoxFuture;

use super::{Report, sql_cases};
use crate::{
    error::Result,
    scope::{Permissions, PlatformScope, Principal, PrincipalId, PrincipalKind, Scope, TenantId},
    sql::{Backend, ControlRead, ControlTx, IsolationMode, Migration, Migrations, TenantRead, TenantTx},
};

/// The tables the suite works on; a kernel under test is opened with them.
pub const PROBE: Migrations = Migrations {
    name: "probe",
    control: &[],
    tenant: &[Migration {
        version: 1,
        name: "probe",
        sql: "CREATE TABLE probe (tenant_id TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tenant_id, id))",
    }],
};

/// A kernel, as the suite sees it. Statements have `$1` placeholders, which both databases read.
pub trait Subject: Clone + Send + Sync + 'static {
    /// The database it runs on.
    type Db: Backend;

    /// As the kernel's own.
    fn begin(&self, scope: &Scope) -> impl Future<Output = Result<TenantTx<Self::Db>>> + Send;
    /// As the kernel's own.
    fn read(&self, scope: &Scope) -> impl Future<Output = Result<TenantRead<Self::Db>>> + Send;
    /// As the kernel's own.
    fn control(&self, scope: &PlatformScope) -> impl Future<Output = Result<ControlTx<Self::Db>>> + Send;
    /// As the kernel's own.
    fn control_read(
        &self,
        scope: &PlatformScope,
    ) -> impl Future<Output = Result<ControlRead<Self::Db>>> + Send;
    /// As the kernel's own, with the default schema.
    fn place(
        &self,
        tx: &mut ControlTx<Self::Db>,
        tenant: &TenantId,
        mode: IsolationMode,
    ) -> impl Future<Output = Result<()>> + Send;
    /// As the kernel's own.
    fn provision(&self, scope: &PlatformScope, tenant: &TenantId) -> impl Future<Output = Result<()>> + Send;

    /// Runs a statement.
    fn execute(
        conn: &mut <Self::Db as sqlx::Database>::Connection,
        sql: &'static str,
        binds: &[&str],
    ) -> impl Future<Output = Result<u64>> + Send;
    /// Runs a query for one text column.
    fn texts(
        conn: &mut <Self::Db as sqlx::Database>::Connection,
        sql: &'static str,
        binds: &[&str],
    ) -> impl Future<Output = Result<Vec<String>>> + Send;
}

/// Counts open transactions from outside of the kernel.
type CountOpen = dyn Fn(&TenantId) -> BoxFuture<'static, Result<u64>> + Send + Sync;

/// A kernel under test, and what the suite asks about it from outside.
pub struct SqlHarness<S> {
    /// Opens the kernel, on the same databases each time.
    pub open: Box<dyn Fn() -> BoxFuture<'static, Result<S>> + Send + Sync>,
    /// How many transactions are open, readers and those above tenants too, as the database sees it. `tenant`
    /// is whose database to ask, where there are several.
    pub open_transactions: Box<CountOpen>,
    /// The isolation mode of the tenants that the suite makes.
    pub mode: IsolationMode,
    /// Whether the database keeps tenants apart even where a statement forgets to.
    pub guarded: bool,
}

impl<S> std::fmt::Debug for SqlHarness<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlHarness").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Runs every case against a fresh kernel on shared databases. Tenants are new to each case.
pub async fn run_sql<S: Subject>(harness: &SqlHarness<S>) -> Report {
    let mut report = Report::default();
    macro_rules! run {
        ($($case:ident),* $(,)?) => {$(
            let outcome = sql_cases::$case(harness, concat!(stringify!($case))).await;
            report.cases.push((stringify!($case), outcome));
        )*};
    }
    run![
        begins_for_its_tenant,
        commits_all_or_nothing,
        rolls_back_when_dropped,
        cancelled_anywhere_leaves_nothing_open,
        cancelled_reads_and_rollbacks_leave_nothing_open,
        finishes_a_commit_that_was_started,
        keeps_tenants_apart,
        reads_one_state_and_cannot_write,
        finds_no_tenant_without_placement,
        provisions_again_raced_and_interrupted,
        migrates_once,
        begins_nothing_after_the_deadline,
    ];
    report
}

/// A scope for `tenant`.
///
/// # Errors
/// If it is no tenant's id.
pub fn scope_of(tenant: &str) -> Result<Scope> {
    let principal = Principal {
        id: PrincipalId::parse("conformance")?,
        kind: PrincipalKind::Service,
        permissions: Permissions::default(),
    };
    Ok(Scope::new(TenantId::parse(tenant)?, Arc::new(principal)))
}

/// A scope above tenants.
///
/// # Errors
/// Never, as the id is one.
pub fn platform() -> Result<PlatformScope> {
    Ok(PlatformScope::new(PrincipalId::parse("conformance")?, "the conformance suite"))
}

/// What a broken kernel does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Begins for whoever came first.
    StaleTenant,
    /// Makes a place for a tenant nobody created.
    MakesPlaces,
    /// Leaves the transaction open when its begin is cancelled.
    LeaksOnCancel,
    /// Leaves a read open when it is cancelled.
    LeaksReads,
    /// Ignores the deadline.
    IgnoresDeadline,
}

/// A kernel with one fault, to show that the suite bites.
#[derive(Debug, Clone)]
pub struct Faulty<S> {
    kernel: S,
    fault: Fault,
    mode: IsolationMode,
    first: Arc<std::sync::OnceLock<TenantId>>,
}

impl<S> Faulty<S> {
    /// `kernel` with `fault`.
    pub fn new(kernel: S, fault: Fault, mode: IsolationMode) -> Self {
        Self { kernel, fault, mode, first: Arc::default() }
    }

    fn bent(&self, scope: &Scope) -> Scope {
        let tenant = match self.fault {
            Fault::StaleTenant => self.first.get_or_init(|| scope.tenant().clone()).clone(),
            Fault::IgnoresDeadline => scope.tenant().clone(),
            _ => return scope.clone(),
        };
        Scope::new(tenant, Arc::new(scope.principal().clone()))
    }
}

impl<S: Subject> Subject for Faulty<S> {
    type Db = S::Db;

    async fn begin(&self, scope: &Scope) -> Result<TenantTx<S::Db>> {
        if self.fault == Fault::MakesPlaces {
            let mut tx = self.kernel.control(&platform()?).await?;
            let placed = self.kernel.place(&mut tx, scope.tenant(), self.mode).await;
            if placed.is_ok() {
                tx.commit().await?;
                self.kernel.provision(&platform()?, scope.tenant()).await?;
            }
        }
        let scope = self.bent(scope);
        if self.fault == Fault::LeaksOnCancel {
            let kernel = self.kernel.clone();
            return leaking(async move { kernel.begin(&scope).await }).await;
        }
        self.kernel.begin(&scope).await
    }

    async fn read(&self, scope: &Scope) -> Result<TenantRead<S::Db>> {
        let scope = self.bent(scope);
        if self.fault == Fault::LeaksReads {
            let kernel = self.kernel.clone();
            return leaking(async move {
                let mut read = kernel.read(&scope).await?;
                // A read begins with its first statement.
                S::texts(read.conn(), "SELECT id FROM probe", &[]).await?;
                Ok(read)
            })
            .await;
        }
        self.kernel.read(&scope).await
    }

    async fn control(&self, scope: &PlatformScope) -> Result<ControlTx<S::Db>> {
        self.kernel.control(scope).await
    }

    async fn control_read(&self, scope: &PlatformScope) -> Result<ControlRead<S::Db>> {
        self.kernel.control_read(scope).await
    }

    async fn place(&self, tx: &mut ControlTx<S::Db>, tenant: &TenantId, mode: IsolationMode) -> Result<()> {
        self.kernel.place(tx, tenant, mode).await
    }

    async fn provision(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<()> {
        self.kernel.provision(scope, tenant).await
    }

    async fn execute(
        conn: &mut <S::Db as sqlx::Database>::Connection,
        sql: &'static str,
        binds: &[&str],
    ) -> Result<u64> {
        S::execute(conn, sql, binds).await
    }

    async fn texts(
        conn: &mut <S::Db as sqlx::Database>::Connection,
        sql: &'static str,
        binds: &[&str],
    ) -> Result<Vec<String>> {
        S::texts(conn, sql, binds).await
    }
}

/// Begins on a task of its own and forgets what nobody waits for any more.
async fn leaking<T: Send + 'static>(begin: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let (to, from) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        // What a forgotten connection is to the database.
        if let Err(Ok(unwanted)) = to.send(begin.await) {
            std::mem::forget(unwanted);
        }
    });
    from.await.map_err(|error| crate::Error::internal("faulty.begin", "gone").with_source(error))?
}

/// The same for both backends but for the types; a macro, as sqlx's bounds make the generic form unreadable.
macro_rules! subject {
    ($feature:literal, $kernel:path, $db:path, $query:path, $scalar:path) => {
        #[cfg(feature = $feature)]
        impl Subject for $kernel {
            type Db = $db;

            async fn begin(&self, scope: &Scope) -> Result<TenantTx<$db>> {
                self.begin(scope).await
            }

            async fn read(&self, scope: &Scope) -> Result<TenantRead<$db>> {
                self.read(scope).await
            }

            async fn control(&self, scope: &PlatformScope) -> Result<ControlTx<$db>> {
                self.control(scope).await
            }

            async fn control_read(&self, scope: &PlatformScope) -> Result<ControlRead<$db>> {
                self.control_read(scope).await
            }

            async fn place(
                &self,
                tx: &mut ControlTx<$db>,
                tenant: &TenantId,
                mode: IsolationMode,
            ) -> Result<()> {
                self.place(tx, tenant, mode, None).await.map(|_| ())
            }

            async fn provision(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<()> {
                self.provision(scope, tenant).await
            }

            async fn execute(
                conn: &mut <$db as sqlx::Database>::Connection,
                sql: &'static str,
                binds: &[&str],
            ) -> Result<u64> {
                use crate::sql::OrFault as _;
                let mut query = $query(sql);
                for bind in binds {
                    query = query.bind((*bind).to_owned());
                }
                query.execute(conn).await.map(|done| done.rows_affected()).or_fault("conformance.execute")
            }

            async fn texts(
                conn: &mut <$db as sqlx::Database>::Connection,
                sql: &'static str,
                binds: &[&str],
            ) -> Result<Vec<String>> {
                use crate::sql::OrFault as _;
                let mut query = $scalar(sql);
                for bind in binds {
                    query = query.bind((*bind).to_owned());
                }
                query.fetch_all(conn).await.or_fault("conformance.texts")
            }
        }
    };
}
subject!("sqlite", crate::sql::sqlite::SqliteKernel, sqlx::Sqlite, sqlx::query, sqlx::query_scalar);
subject!(
    "postgres",
    crate::sql::postgres::PgKernel,
    sqlx::Postgres,
    crate::sql::postgres::query,
    crate::sql::postgres::query_scalar
);
