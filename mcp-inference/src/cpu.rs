//! Threads for computation, so that none of it runs on the async runtime's.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use mcp_core::{Error, ErrorKind, Result, Scope, error::Detail};
use metrics::{Gauge, describe_gauge, gauge};
use tokio::sync::oneshot;

const QUEUE_DEPTH: &str = "mcp_inference_queue_depth";

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads behind a bounded queue, first in, first out. Clones share both.
#[derive(Clone)]
pub struct CpuPool(Arc<Inner>);

struct Inner {
    /// Gone once the pool is closed; the threads end when it is.
    queue: Mutex<Option<SyncSender<Job>>>,
    ended: Mutex<Vec<oneshot::Receiver<()>>>,
    depth: Gauge,
    threads: usize,
}

impl fmt::Debug for CpuPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuPool").field("threads", &self.0.threads).finish_non_exhaustive()
    }
}

impl CpuPool {
    /// `threads` threads (at least one) behind a queue of `waiting` jobs.
    ///
    /// # Errors
    /// `Unavailable` when the system gives no thread.
    pub fn start(threads: usize, waiting: usize) -> Result<Self> {
        let threads = threads.max(1);
        let (queue, jobs) = sync_channel::<Job>(waiting.max(1));
        let jobs = Arc::new(Mutex::new(jobs));
        let mut ended = Vec::with_capacity(threads);
        for number in 0..threads {
            let (end, at_end) = oneshot::channel();
            ended.push(at_end);
            let jobs = Arc::clone(&jobs);
            let spawned = thread::Builder::new().name(format!("inference-{number}")).spawn(move || {
                work(&jobs);
                // Nobody waits for it where the pool was dropped rather than closed.
                let _ = end.send(());
            });
            spawned.map_err(|error| {
                Error::unavailable("cpu.start", "the system gives no further thread").with_source(error)
            })?;
        }
        describe_gauge!(QUEUE_DEPTH, "computations of models that wait for a thread");
        let depth = gauge!(QUEUE_DEPTH);
        Ok(Self(Arc::new(Inner { queue: Mutex::new(Some(queue)), ended: Mutex::new(ended), depth, threads })))
    }

    /// How many computations run at once.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.0.threads
    }

    /// Runs `work` on one of the threads.
    ///
    /// # Errors
    /// `Unavailable` when the queue is full or the pool closed, `DeadlineExceeded` when the scope's deadline
    /// passes first, `Internal` when `work` panics.
    ///
    /// # Cancellation
    /// Safe: work that has not begun is left out, work that has begun ends unseen.
    pub async fn run<T: Send + 'static>(
        &self,
        scope: &Scope,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let (deadline, depth) = (scope.deadline(), self.0.depth.clone());
        let too_late = move || deadline.is_some_and(|deadline| deadline <= Instant::now());
        if too_late() {
            return Err(deadline_exceeded());
        }
        let job: Job = Box::new(move || {
            depth.decrement(1);
            if !reply.is_closed() && !too_late() {
                // The caller may have gone in the meantime.
                let _ = reply.send(work());
            }
        });
        self.submit(job)?;
        let answered = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), answer).await,
            None => Ok(answer.await),
        };
        match answered {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_gone)) if too_late() => Err(deadline_exceeded()),
            Ok(Err(_gone)) => Err(Error::internal("cpu.run", "a computation met a defect")),
            Err(_elapsed) => Err(deadline_exceeded()),
        }
    }

    fn submit(&self, job: Job) -> Result<()> {
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = &*queue else {
            return Err(Error::unavailable("cpu.run", "models are being shut down"));
        };
        self.0.depth.increment(1);
        queue.try_send(job).map_err(|refused| {
            self.0.depth.decrement(1);
            match refused {
                TrySendError::Full(_) => {
                    Error::unavailable("cpu.run", "too many computations wait already; try again later")
                        .with_detail(Detail::RetryAfter(Duration::from_secs(1)))
                }
                TrySendError::Disconnected(_) => {
                    Error::unavailable("cpu.run", "no thread is left to compute on")
                }
            }
        })
    }

    /// Takes no more work and waits until what was taken is done.
    ///
    /// # Cancellation
    /// Safe: the threads end all the same.
    pub async fn close(&self) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = std::mem::take(&mut *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner));
        for end in ended {
            let _ = end.await;
        }
    }
}

fn deadline_exceeded() -> Error {
    Error::new(ErrorKind::DeadlineExceeded, "cpu.run", "the model did not answer before the deadline")
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The caller learns of a panic by its reply, which is dropped with the job.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a computation panicked");
        }
    }
}
