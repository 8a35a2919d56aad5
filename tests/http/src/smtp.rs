//! A mail server that keeps what it gets, and refuses what it is told to.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::{ServerConnection, StreamOwned};

use crate::certificate::Certificate;
use crate::receiver::Stream;
use crate::worker::eventually;

#[derive(Clone, Debug)]
pub struct Mail {
    pub from: String,
    pub to: String,
    /// As it came, with LF for line ends.
    pub text: String,
}

/// What it says to RCPT TO; empty: yes.
type Refusals = Arc<Mutex<Vec<(String, String)>>>;

pub struct Smtp {
    pub url: String,
    received: Arc<Mutex<Vec<Mail>>>,
    refusals: Refusals,
}

impl Smtp {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    pub fn start_at(address: &str) -> Self {
        Self::listen(address, None)
    }

    /// smtps://localhost:…
    pub fn start_tls(certificate: &Certificate) -> Self {
        Self::listen("127.0.0.1:0", Some(certificate))
    }

    fn listen(address: &str, certificate: Option<&Certificate>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let config = certificate.map(|certificate| certificate.config.clone());
        let url = match config {
            Some(_) => format!("smtps://localhost:{}", address.port()),
            None => format!("smtp://{address}"),
        };
        let smtp = Self { url, received: Arc::default(), refusals: Arc::default() };
        let (received, refusals) = (smtp.received.clone(), smtp.refusals.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let stream: Box<dyn Stream> = match &config {
                    Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)),
                    None => Box::new(stream),
                };
                let (received, refusals) = (received.clone(), refusals.clone());
                std::thread::spawn(move || serve(stream, &received, &refusals));
            }
        });
        smtp
    }

    /// Mail to this address is answered so: `550 5.1.1 no such user`.
    pub fn refuse(&self, address: &str, answer: &str) {
        self.refusals.lock().unwrap().push((address.into(), answer.into()));
    }

    pub fn accept_all(&self) {
        self.refusals.lock().unwrap().clear();
    }

    pub fn mails_to(&self, address: &str) -> Vec<Mail> {
        self.received.lock().unwrap().iter().filter(|mail| mail.to == address).cloned().collect()
    }

    /// The newest to this address with this subject.
    #[track_caller]
    pub fn mail(&self, address: &str, subject: &str) -> Mail {
        eventually(&format!("a mail to {address}: {subject}"), || {
            self.mails_to(address).into_iter().rev().find(|mail| mail.header("Subject") == subject)
        })
    }
}

fn serve(stream: Box<dyn Stream>, received: &Mutex<Vec<Mail>>, refusals: &Mutex<Vec<(String, String)>>) {
    let mut stream = BufReader::new(stream);
    let (mut from, mut to) = (String::new(), String::new());
    let mut answer = "220 test ESMTP".to_owned();
    while say(&mut stream, &answer) {
        let Some(line) = heard(&mut stream) else { return };
        answer = match line.to_uppercase() {
            command if command.starts_with("EHLO") => "250-test\r\n250 8BITMIME".to_owned(),
            command if command.starts_with("MAIL FROM") => {
                from = address(&line);
                "250 ok".into()
            }
            command if command.starts_with("RCPT TO") => {
                to = address(&line);
                let refusals = refusals.lock().unwrap();
                refusals.iter().find(|(who, _)| *who == to).map_or("250 ok".into(), |(_, answer)| answer.clone())
            }
            command if command == "DATA" => {
                say(&mut stream, "354 go on");
                // RFC 5321, 4.5.2: a line that begins with a dot has got one more.
                let body = std::iter::from_fn(|| heard(&mut stream).filter(|line| line != "."));
                let text = body.map(|line| format!("{}\n", line.strip_prefix('.').unwrap_or(&line))).collect();
                received.lock().unwrap().push(Mail { from: from.clone(), to: to.clone(), text });
                "250 kept".into()
            }
            command if command == "QUIT" => "221 bye".into(),
            _ => "250 ok".into(),
        };
    }
}

fn say(stream: &mut BufReader<Box<dyn Stream>>, text: &str) -> bool {
    let stream = stream.get_mut();
    stream.write_all(format!("{text}\r\n").as_bytes()).and_then(|()| stream.flush()).is_ok()
}

/// A line without its end; none when there is no more.
fn heard(stream: &mut BufReader<Box<dyn Stream>>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

fn address(line: &str) -> String {
    line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(String::new(), |(inner, _)| inner.into())
}

impl Mail {
    /// A header of the whole message, unfolded.
    pub fn header(&self, name: &str) -> String {
        header(self.text.split_once("\n\n").map_or("", |(head, _)| head), name)
    }

    /// The decoded text of the part of this type.
    #[track_caller]
    pub fn part(&self, content_type: &str) -> String {
        let marked = self.header("Content-Type");
        let boundary = marked.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let delimiter = format!("--{boundary}");
        let found = self.text.split(&delimiter).filter_map(|part| part.trim_start().split_once("\n\n"));
        let mut found = found.filter(|(head, _)| header(head, "Content-Type").starts_with(content_type));
        let (head, body) = found.next().unwrap_or_else(|| panic!("no {content_type} in {}", self.text));
        decode(&header(head, "Content-Transfer-Encoding"), body)
    }

    /// What the link in the text leads to, and its token.
    #[track_caller]
    pub fn token(&self) -> String {
        let text = self.part("text/plain");
        let token = text.split_once("token=").map(|(_, rest)| rest.split_whitespace().next().unwrap());
        token.unwrap_or_else(|| panic!("no token in {text}")).to_owned()
    }
}

fn header(head: &str, name: &str) -> String {
    let unfolded = head.replace("\n ", " ").replace("\n\t", " ");
    let value = unfolded.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
    value.unwrap_or_default()
}

fn decode(encoding: &str, body: &str) -> String {
    match encoding {
        "quoted-printable" => {
            let joined = body.replace("=\n", "").replace('%', "%25").replace('=', "%");
            percent_encoding::percent_decode_str(&joined).decode_utf8().unwrap().into_owned()
        }
        "base64" => {
            let bytes = BASE64_STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap();
            String::from_utf8(bytes).unwrap()
        }
        _ => body.to_owned(),
    }
}
