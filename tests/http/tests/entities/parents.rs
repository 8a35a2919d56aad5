//! What the rows of several entities refer to.

use crm_http_tests::entity::Parent;

pub const ACCOUNT: Parent = Parent::new("account", "accounts", r#"{ "name": "Account {n}" }"#);
pub const CONTACT: Parent = Parent::new("contact", "contacts", r#"{ "last_name": "Contact {n}" }"#);
pub const LEAD: Parent = Parent::new("lead", "leads", r#"{ "last_name": "Lead {n}" }"#);
pub const DEAL: Parent = Parent::new("deal", "deals", r#"{ "name": "Deal {n}" }"#);
pub const TICKET: Parent = Parent::new("ticket", "tickets", r#"{ "subject": "Ticket {n}" }"#);
pub const PROJECT: Parent = Parent::new("project", "projects", r#"{ "name": "Project {n}" }"#);
pub const JOB: Parent = Parent::new("job", "jobs", r#"{ "title": "Job {n}" }"#);
pub const ACTIVITY: Parent = Parent::new("activity", "activities", r#"{ "subject": "Activity {n}" }"#);
pub const TASK: Parent = Parent::new("task", "tasks", r#"{ "title": "Task {n}" }"#);
pub const MESSAGE: Parent = Parent::new("message", "messages", r#"{ "subject": "Message {n}" }"#);
pub const ESTIMATE: Parent = Parent::new("estimate", "estimates", r#"{ "title": "Estimate {n}", "currency": "EUR" }"#);
pub const INVOICE: Parent = Parent::new("invoice", "invoices", r#"{ "title": "Invoice {n}", "currency": "EUR" }"#);
