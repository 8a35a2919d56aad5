//! An entry of the audit log, and the bytes of it that are hashed. Pure.

use aws_lc_rs::digest;
use uuid::Uuid;

use super::origin::Origin;

/// What happened to one record.
pub struct Entry<'a> {
    pub org_id: Uuid,
    pub id: Uuid,
    /// Microseconds since 2000-01-01, as PostgreSQL counts them.
    pub created_at: i64,
    pub action: &'a str,
    pub entity: &'a str,
    pub record_id: Uuid,
    pub changed: Option<Vec<&'a str>>,
    pub before: Option<&'a [u8]>,
    pub after: Option<&'a [u8]>,
    pub transaction_id: Uuid,
}

/// Collects fields so that no two lists of fields give the same bytes. They are hashed at the end, for each call of the hash costs more
/// than the few bytes of a field; what is large at once.
pub struct Fields<'a> {
    context: &'a mut digest::Context,
    gathered: Vec<u8>,
}

const LARGE: usize = 1024;

impl Drop for Fields<'_> {
    fn drop(&mut self) {
        self.context.update(&self.gathered);
    }
}

impl<'a> Fields<'a> {
    pub fn of(context: &'a mut digest::Context) -> Self {
        Self { context, gathered: Vec::with_capacity(LARGE) }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.gathered.extend_from_slice(&(bytes.len() as u64 + 1).to_be_bytes());
        if bytes.len() < LARGE {
            self.gathered.extend_from_slice(bytes);
        } else {
            self.context.update(&self.gathered);
            self.gathered.clear();
            self.context.update(bytes);
        }
        self
    }

    pub fn optional(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => {
                self.gathered.extend_from_slice(&0_u64.to_be_bytes());
                self
            }
        }
    }

    pub fn id(&mut self, id: Option<Uuid>) -> &mut Self {
        self.optional(id.as_ref().map(|id| id.as_bytes().as_slice()))
    }

    pub fn text(&mut self, text: Option<&str>) -> &mut Self {
        self.optional(text.map(str::as_bytes))
    }

    pub fn number(&mut self, number: i64) -> &mut Self {
        self.bytes(&number.to_be_bytes())
    }
}

impl Entry<'_> {
    pub fn hash_into(&self, origin: &Origin, context: &mut digest::Context) {
        let mut fields = Fields::of(context);
        fields
            .id(Some(self.org_id))
            .id(Some(self.id))
            .number(self.created_at)
            .text(Some(self.action))
            .text(Some(self.entity))
            .id(Some(self.record_id));
        fields.number(self.changed.as_ref().map_or(-1, |changed| changed.len() as i64));
        for column in self.changed.iter().flatten() {
            fields.text(Some(column));
        }
        fields
            .optional(self.before)
            .optional(self.after)
            .id(origin.actor_id)
            .id(origin.impersonator_id)
            .id(origin.api_key_id)
            .text(Some(&origin.database_role))
            .text(Some(&origin.login_role))
            .text(origin.request_id.as_deref())
            .text(origin.address.as_deref())
            .text(origin.user_agent.as_deref())
            .text(origin.application.as_deref())
            .id(Some(self.transaction_id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Python's hashlib, of each field's length plus one in eight bytes and the field; eight zeros where there is none.
    #[test]
    fn fields_are_hashed_one_after_the_other() {
        let mut context = digest::Context::new(&digest::SHA256);
        Fields::of(&mut context).bytes(b"abc").optional(None).number(-5).bytes(&[b'x'; 2000]).text(Some("ä"));
        let hash: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "1ec65897a1c4f1e1dc913a611494b5fb87bc1e22dc413c8e880f00e2ba9b7a1c");
    }
}
