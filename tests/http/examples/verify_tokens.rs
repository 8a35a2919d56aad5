//! For bench/run: how long jsonwebtoken alone takes to verify a token. Reads a key set and tokens, a line each, and prints
//! microseconds per token.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, stdin};
use std::time::Instant;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

#[derive(Deserialize)]
#[allow(dead_code)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
    sid: String,
    org_id: Option<String>,
    role: String,
}

fn main() {
    let mut lines = stdin().lock().lines().map(|line| line.unwrap()).filter(|line| !line.is_empty());
    let keys: JwkSet = serde_json::from_str(&lines.next().unwrap()).unwrap();
    let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["crm"]);
    let tokens: Vec<_> = lines.collect();
    for token in &tokens {
        decode::<Claims>(token, &key, &validation).unwrap();
    }
    let started = Instant::now();
    for token in &tokens {
        decode::<Claims>(token, &key, &validation).unwrap();
    }
    println!("{:.3}", started.elapsed().as_secs_f64() * 1e6 / tokens.len() as f64);
}
