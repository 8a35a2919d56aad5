//! Making signing keys. Pure: what is stored and published of them is the business of `key_store`.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyAlgorithm, OctetKeyPairParameters, OctetKeyPairType,
    PublicKeyUse, ThumbprintHash,
};

/// A new key pair: the public half as it is published (RFC 7517), the private one as it is stored.
pub struct KeyPair {
    /// The RFC 7638 thumbprint of the public half.
    pub kid: String,
    pub public_jwk: serde_json::Value,
    /// PKCS #8.
    pub private_pem: String,
}

impl KeyPair {
    /// RSA gets 2048 bits; ES256 and EdDSA have one size each.
    pub fn generate(algorithm: Algorithm) -> Result<Self, String> {
        let (der, public) = generate_der(algorithm)?;
        let private_pem = pem::encode(&pem::Pem::new("PRIVATE KEY", der));
        let mut jwk = match algorithm {
            Algorithm::EdDSA => ed25519_jwk(&public),
            _ => {
                let key = super::jwt::encoding_key(algorithm, &private_pem).map_err(|e| e.to_string())?;
                Jwk::from_encoding_key(&key, algorithm).map_err(|e| e.to_string())?
            }
        };
        let kid = jwk.thumbprint(ThumbprintHash::SHA256);
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public_jwk = serde_json::to_value(&jwk).map_err(|e| e.to_string())?;
        Ok(Self { kid, public_jwk, private_pem })
    }
}

/// The private key as PKCS #8 and the public key's raw bytes.
fn generate_der(algorithm: Algorithm) -> Result<(Vec<u8>, Vec<u8>), String> {
    let failed = |_| "the key could not be generated".to_owned();
    match algorithm {
        Algorithm::RS256 => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            let der = key.as_der().map_err(failed)?;
            Ok((der.as_ref().to_vec(), key.public_key().as_ref().to_vec()))
        }
        Algorithm::ES256 => {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
            let der = key.to_pkcs8v1().map_err(failed)?;
            Ok((der.as_ref().to_vec(), key.public_key().as_ref().to_vec()))
        }
        Algorithm::EdDSA => {
            let key = Ed25519KeyPair::generate().map_err(failed)?;
            let der = key.to_pkcs8v1().map_err(failed)?;
            Ok((der.as_ref().to_vec(), key.public_key().as_ref().to_vec()))
        }
        _ => Err("no keys are made for this algorithm".into()),
    }
}

/// RFC 8037; jsonwebtoken derives the other kinds itself.
fn ed25519_jwk(public: &[u8]) -> Jwk {
    Jwk {
        common: CommonParameters { key_algorithm: Some(KeyAlgorithm::EdDSA), ..Default::default() },
        algorithm: AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x: BASE64_URL_SAFE_NO_PAD.encode(public),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_key_has_no_private_member() {
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
            let pair = KeyPair::generate(algorithm).unwrap();
            let members: Vec<_> = pair.public_jwk.as_object().unwrap().keys().map(String::as_str).collect();
            for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert!(!members.contains(&private), "{algorithm:?} {private}");
            }
            for public in ["kty", "kid", "alg", "use"] {
                assert!(members.contains(&public), "{algorithm:?} {public}");
            }
        }
    }

    #[test]
    fn an_rsa_key_has_2048_bits() {
        let pair = KeyPair::generate(Algorithm::RS256).unwrap();
        let modulus = BASE64_URL_SAFE_NO_PAD.decode(pair.public_jwk["n"].as_str().unwrap()).unwrap();
        assert_eq!(modulus.len() * 8, 2048);
    }

    #[test]
    fn the_thumbprint_follows_rfc_8037_appendix_a_3() {
        let public = BASE64_URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(
            ed25519_jwk(&public).thumbprint(ThumbprintHash::SHA256),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }
}
