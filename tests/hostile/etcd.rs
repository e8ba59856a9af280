//! An etcd that lets a user in, and then quotes what it was sent: a few answers of gRPC, over HTTP/2.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use h2::server::{SendResponse, handshake};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};

/// Of cluster 1, member 2, which leads, at revision 3 in term 4; of 3.5.30, with 64 bytes, at index 5.
const STATUS: &[u8] =
    b"\x0a\x08\x08\x01\x10\x02\x18\x03\x20\x04\x12\x063.5.30\x18\x40\x20\x02\x28\x05\x30\x04";

/// It runs until it is dropped.
pub(crate) struct Etcd {
    pub(crate) at: SocketAddr,
    /// What was asked with the token, by its path.
    asked: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Etcd {
    /// It gives out this token, and refuses everything but the status with these words.
    pub(crate) fn of(token: &'static str, words: &'static str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Arc::default());
        let noted = Arc::clone(&asked);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served(stream, Arc::clone(&noted), token, words));
            }
        });
        Self {
            at,
            asked,
            _runtime: runtime,
        }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn served(
    stream: TcpStream,
    asked: Arc<Mutex<Vec<String>>>,
    token: &'static str,
    words: &'static str,
) -> Option<()> {
    let mut connection = handshake(stream).await.ok()?;
    while let Some(request) = connection.accept().await {
        let (request, answer) = request.ok()?;
        let path = request.uri().path().to_owned();
        if sent(&request).any(|sent| sent == token) {
            asked.lock().unwrap().push(path.clone());
        }
        match path.as_str() {
            "/etcdserverpb.Auth/Authenticate" => {
                // Field 2 of the answer, a text.
                let length = u8::try_from(token.len()).unwrap();
                good(answer, &[&[0x12, length], token.as_bytes()].concat())?;
            }
            "/etcdserverpb.Maintenance/Status" => good(answer, STATUS)?,
            _ => refused(answer, words)?,
        }
    }
    Some(())
}

fn sent<T>(request: &Request<T>) -> impl Iterator<Item = &str> {
    let all = request.headers().values();
    all.filter_map(|value| value.to_str().ok())
}

fn head() -> http::response::Builder {
    Response::builder().header("content-type", "application/grpc")
}

fn good(mut answer: SendResponse<bytes::Bytes>, message: &[u8]) -> Option<()> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame = [&[0][..], &length, message].concat();
    let mut stream = answer.send_response(head().body(()).unwrap(), false).ok()?;
    stream.send_data(frame.into(), false).ok()?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    stream.send_trailers(trailers).ok()
}

/// `UNAUTHENTICATED`.
fn refused(mut answer: SendResponse<bytes::Bytes>, words: &str) -> Option<()> {
    let head = head().header("grpc-status", "16");
    let head = head.header("grpc-message", words).body(()).unwrap();
    answer.send_response(head, true).ok().map(drop)
}
