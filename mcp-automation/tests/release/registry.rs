//! A registry that does as it is told, on a port of its own.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::packages::{sha256_hex, sha512};

/// How an answer is given.
#[derive(Clone)]
pub(crate) enum Manner {
    Whole,
    /// Ends in the middle, the first so many times.
    CutShort(usize),
    /// Fails with this status, the first so many times.
    Fails(u16, usize),
    /// Sends the head and then nothing.
    Silent,
    Redirects(String),
}

#[derive(Clone)]
struct Answer {
    body: Vec<u8>,
    manner: Manner,
}

#[derive(Clone)]
pub(crate) struct Registry {
    pub(crate) url: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let registry = Self { url, answers: Arc::default(), asked: Arc::default() };
        let serving = registry.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let serving = serving.clone();
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => request.push(byte),
                            Err(_) => return,
                        }
                    }
                    let text = String::from_utf8(request).unwrap();
                    let path = text.split(' ').nth(1).unwrap().to_owned();
                    let (bytes, wait) = serving.answer(&path);
                    let _ = stream.write_all(&bytes).await;
                    if wait {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                    }
                });
            }
        });
        registry
    }

    fn answer(&self, path: &str) -> (Vec<u8>, bool) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        let Some(Answer { body, manner }) = answers.get_mut(path) else {
            return (
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
                false,
            );
        };
        let mut bytes =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())
                .into_bytes();
        match manner {
            Manner::CutShort(left @ 1..) => {
                *left -= 1;
                bytes.extend_from_slice(&body[..body.len() / 2]);
                (bytes, false)
            }
            Manner::Fails(status, left @ 1..) => {
                *left -= 1;
                (
                    format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                        .into_bytes(),
                    false,
                )
            }
            Manner::Silent => (bytes, true),
            Manner::Redirects(to) => (
                format!(
                    "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                .into_bytes(),
                false,
            ),
            Manner::Whole | Manner::CutShort(0) | Manner::Fails(_, 0) => {
                bytes.extend_from_slice(body);
                (bytes, false)
            }
        }
    }

    pub(crate) fn put(&self, path: &str, body: impl Into<Vec<u8>>, manner: Manner) {
        self.answers.lock().unwrap().insert(path.to_owned(), Answer { body: body.into(), manner });
    }

    /// An npm package with these versions, each with its tarball and the integrity that is claimed of it.
    pub(crate) fn npm(&self, name: &str, versions: &[(&str, Vec<u8>, Option<String>)]) {
        let mut documents = serde_json::Map::new();
        for (version, tarball, claimed) in versions {
            let path = format!("/files/{}-{version}.tgz", name.replace('/', "-"));
            let integrity = claimed.clone().unwrap_or_else(|| sha512(tarball));
            let dist = json!({ "tarball": format!("{}{path}", self.url), "integrity": integrity });
            documents.insert((*version).to_owned(), json!({ "version": version, "dist": dist }));
            self.put(&path, tarball.clone(), Manner::Whole);
        }
        let latest = versions.last().unwrap().0;
        let document = json!({ "name": name, "dist-tags": { "latest": latest }, "versions": documents });
        self.put(&format!("/{}", name.replace('/', "%2f")), document.to_string(), Manner::Whole);
    }

    /// A Python package with these files: name, content, yanked.
    pub(crate) fn pypi(&self, name: &str, files: &[(&str, Vec<u8>, bool)]) {
        let claimed = |(file, content, yanked): &(_, Vec<u8>, _)| {
            let sha256 = sha256_hex(content);
            (*file, content.clone(), *yanked, sha256)
        };
        self.pypi_claiming(name, &files.iter().map(claimed).collect::<Vec<_>>());
    }

    /// The same, with the hash that is claimed of each file.
    pub(crate) fn pypi_claiming(&self, name: &str, files: &[(&str, Vec<u8>, bool, String)]) {
        let files: Vec<_> = files
            .iter()
            .map(|(file, content, yanked, sha256)| {
                let path = format!("/files/{file}");
                self.put(&path, content.clone(), Manner::Whole);
                json!({
                    "filename": file, "url": format!("../..{path}"), "size": content.len(),
                    "hashes": { "sha256": sha256 }, "yanked": yanked,
                })
            })
            .collect();
        let document = json!({ "meta": { "api-version": "1.1" }, "name": name, "files": files });
        self.put(&format!("/simple/{name}/"), document.to_string(), Manner::Whole);
    }
}
