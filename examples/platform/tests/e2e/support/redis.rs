//! A Redis of a test's own, which it may stop, kill, and put a liar in the place of.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::{
    bounded::{LIMIT, Lines},
    processes,
};

pub(crate) struct Redis {
    process: Child,
    pub(crate) port: u16,
}

impl Redis {
    pub(crate) fn start() -> Self {
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(redis) = Self::start_at(port) {
                return redis;
            }
        }
        panic!("redis-server does not start");
    }

    /// `None` if the port is taken.
    pub(crate) fn start_at(port: u16) -> Option<Self> {
        let port_text = port.to_string();
        let mut process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port_text, "--save", "", "--appendonly", "no"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server does not start: `cargo xtask test` installs it");
        let mut said = Lines::of("redis-server", process.stdout.take().unwrap(), LIMIT);
        if said.any(|line| line.contains("Ready to accept connections")) {
            return Some(Self { process, port });
        }
        process.wait().unwrap();
        None
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// It takes connections and commands, and answers none, until it is thawed.
    pub(crate) fn freeze(&self) {
        processes::freeze(self.process.id());
    }

    pub(crate) fn thaw(&self) {
        processes::thaw(self.process.id());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Answers every command with numbers that the limiter's script cannot give: allowed, by a cell that is years ahead.
pub(crate) struct Liar {
    port: u16,
    told: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Liar {
    pub(crate) fn start_at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (told, ends) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (telling, ending) = (told.clone(), ends.clone());
        let accepting = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                let (telling, ending) = (telling.clone(), ending.clone());
                thread::spawn(move || lie(stream, &telling, &ending));
            }
        });
        Self { port, told, ends, accepting: Some(accepting) }
    }

    /// How many commands were answered.
    pub(crate) fn told(&self) -> usize {
        self.told.load(Ordering::SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes the one that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.accepting.take().unwrap().join();
    }
}

/// An argument of the tests' commands never holds a `*`, which begins each command.
fn lie(mut stream: TcpStream, told: &AtomicUsize, ends: &AtomicBool) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if ends.load(Ordering::SeqCst) {
            return;
        }
        let commands = buffer[..length].iter().filter(|byte| **byte == b'*').count();
        told.fetch_add(commands, Ordering::SeqCst);
        if stream.write_all("*2\r\n:1\r\n:999999999999999\r\n".repeat(commands).as_bytes()).is_err() {
            return;
        }
    }
}
