//! A JSON object as PostgreSQL writes a jsonb: its members, each value as it stands there. Pure.
//!
//! Numbers keep all their digits this way; a floating point number would round them.

use std::collections::BTreeMap;

/// Values in JSON, by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(pub BTreeMap<String, String>);

impl Object {
    /// What the text of a jsonb says; `None` when it is no object.
    pub fn parse(text: &str) -> Option<Self> {
        let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
        let mut members = BTreeMap::new();
        if inside.trim().is_empty() {
            return Some(Self(members));
        }
        for member in split(inside, b',') {
            let colon = split(member, b':').first()?.len();
            let key: String = serde_json::from_str(member[..colon].trim()).ok()?;
            members.insert(key, member[colon + 1..].trim().to_owned());
        }
        Some(Self(members))
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Bytes of the values.
    pub fn size(&self) -> usize {
        self.0.values().map(String::len).sum()
    }

    pub fn to_text(&self) -> String {
        let members: Vec<_> =
            self.0.iter().map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key.as_str()))).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// The items of a JSON array, each as it stands there; `None` when it is none.
pub fn items(text: &str) -> Option<Vec<&str>> {
    let inside = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    if inside.trim().is_empty() {
        return Some(vec![]);
    }
    Some(split(inside, b',').into_iter().map(str::trim).collect())
}

/// The parts between separators that stand neither in a string nor in an inner object or array.
fn split(text: &str, separator: u8) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (vec![], 0, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => (),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ if byte == separator && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => (),
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<(String, String)> {
        Object::parse(text).unwrap().0.into_iter().collect()
    }

    #[test]
    fn an_object_is_taken_apart() {
        let text = r#"{"a": 1.50, "b": "x, \"y\": {", "c": ["p", {"q": [1, 2]}], "d\\": null, "é:": {}}"#;
        let expected =
            [("a", "1.50"), ("b", r#""x, \"y\": {""#), ("c", r#"["p", {"q": [1, 2]}]"#), ("d\\", "null"), ("é:", "{}")];
        assert_eq!(members(text), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(members("{}"), []);
    }

    #[test]
    fn what_is_no_object_is_none() {
        for text in ["[]", "1", "null", "\"{}\"", ""] {
            assert_eq!(Object::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_array_is_taken_apart() {
        assert_eq!(items(r#"["a,b", {"c": [1, 2]}, 1.50]"#), Some(vec![r#""a,b""#, r#"{"c": [1, 2]}"#, "1.50"]));
        assert_eq!(items("[]"), Some(vec![]));
        assert_eq!(items("{}"), None);
    }

    #[test]
    fn an_object_is_put_together_again() {
        let object = Object::parse(r#"{"b": [1, 2], "a\"": "x"}"#).unwrap();
        assert_eq!(object.to_text(), r#"{"a\"":"x","b":[1, 2]}"#);
        assert_eq!(Object::parse(&object.to_text()), Some(object));
    }
}
