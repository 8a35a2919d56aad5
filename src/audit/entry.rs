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

/// Collects fields so that no two lists of fields give the same bytes.
pub struct Fields<'a>(pub &'a mut digest::Context);

impl Fields<'_> {
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&(bytes.len() as u64 + 1).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub fn optional(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => {
                self.0.update(&0_u64.to_be_bytes());
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
        let mut fields = Fields(context);
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
