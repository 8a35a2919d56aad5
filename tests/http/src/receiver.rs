//! A server that the worker calls: over TLS with a certificate of its own, or without.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};

use crate::certificate::Certificate;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// A field of a form.
    pub fn field(&self, name: &str) -> Option<String> {
        let pairs = self.body.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.into_iter().find(|(key, _)| *key == name)?.1.replace('+', " ");
        Some(percent_encoding::percent_decode_str(&value).decode_utf8().unwrap().into_owned())
    }
}

/// Status, headers, body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// Waits for so long before it answers.
    pub after: Duration,
}

impl Answer {
    pub fn new(status: u16, body: impl ToString) -> Self {
        Self { status, headers: vec![], body: body.to_string(), after: Duration::ZERO }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

pub struct Receiver {
    pub address: SocketAddr,
    pub url: String,
    /// To be believed by who calls; none without TLS.
    pub certificate: Option<Certificate>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    /// https://localhost:…
    pub fn tls(answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        let certificate = Certificate::of("localhost");
        let config = certificate.config.clone();
        Self::listen("https", Some(certificate), answer, move |stream| {
            let connection = ServerConnection::new(config.clone()).unwrap();
            Box::new(StreamOwned::new(connection, stream))
        })
    }

    /// http://localhost:…
    pub fn plain(answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen("http", None, answer, |stream| Box::new(stream))
    }

    fn listen(
        scheme: &str,
        certificate: Option<Certificate>,
        answer: impl Fn(&Call) -> Answer + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(Mutex::new(vec![]));
        let (noted, answer) = (calls.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (mut stream, noted, answer) = (wrap(stream), noted.clone(), answer.clone());
                // Who breaks off is no concern of a receiver.
                std::thread::spawn(move || drop(serve(&mut *stream, &noted, &*answer)));
            }
        });
        Self { url: format!("{scheme}://localhost:{}", address.port()), address, certificate, calls }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub fn calls_of(&self, path: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.path == path).collect()
    }
}

impl Receiver {
    /// The file of its certificate.
    pub fn certificate_file(&self) -> &str {
        self.certificate.as_ref().map_or("", Certificate::path)
    }
}

pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One request, one answer.
fn serve(stream: &mut dyn Stream, noted: &Mutex<Vec<Call>>, answer: &dyn Fn(&Call) -> Answer) -> io::Result<()> {
    let call = read(stream)?;
    noted.lock().unwrap().push(call.clone());
    let answer = answer(&call);
    std::thread::sleep(answer.after);
    let headers: String = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{}",
        answer.status,
        answer.body.len(),
        answer.body
    )?;
    stream.flush()
}

fn read(stream: &mut dyn Stream) -> io::Result<Call> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = vec![];
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if method.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Call { method, path, headers, body: String::from_utf8_lossy(&body).into_owned() })
}
