//! Bytes on a socket, for what no HTTP library would send.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::http::Response;

/// Sends the bytes as they are and reads until the server closes; `None` when it answers nothing.
pub fn exchange(bytes: &[u8]) -> Option<Response> {
    let response = exchange_with_any_answer(bytes)?;
    assert!(response.status < 500, "a server error is a defect: {response}");
    Some(response)
}

/// The same, where PostgREST's own failure is looked at.
pub fn exchange_with_any_answer(bytes: &[u8]) -> Option<Response> {
    let url = crate::setting("CRM_TEST_URL");
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _closed_early = stream.write_all(bytes);
    // Nothing follows: whoever still waits for the rest of a request need not.
    let _closed_already = stream.shutdown(Shutdown::Write);
    let mut answer = vec![];
    let _reset_after_the_answer = stream.read_to_end(&mut answer);
    parse(String::from_utf8_lossy(bytes).chars().take(300).collect(), &answer)
}

/// A request without a body with these header lines, each as it is.
pub fn request(method: &str, path: &str, headers: &[&[u8]]) -> Option<Response> {
    exchange(&bytes_of(method, path, headers))
}

pub fn bytes_of(method: &str, path: &str, headers: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n").into_bytes();
    for line in headers {
        request.extend_from_slice(line);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

fn parse(request: String, answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into())).collect();
    let mut response = Response { request, status, headers, body: answer[end + 4..].to_vec() };
    if response.header("Transfer-Encoding") == Some("chunked") {
        response.body = join_chunks(&response.body);
    }
    Some(response)
}

fn join_chunks(mut body: &[u8]) -> Vec<u8> {
    let mut joined = vec![];
    while let Some(line) = body.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&body[..line]), 16).unwrap_or(0);
        let rest = &body[line + 2..];
        if size == 0 || rest.len() < size + 2 {
            break;
        }
        joined.extend_from_slice(&rest[..size]);
        body = &rest[size + 2..];
    }
    joined
}
