use crm_http_tests::entity::{Parent, Spec};

use super::parents::CONTACT;

const APPOINTMENT: Parent = Parent::new(
    "appointment",
    "appointments",
    r#"{ "title": "Appointment {n}", "starts_at": "2030-05-01T09:00:00Z", "ends_at": "2030-05-01T10:00:00Z" }"#,
);

pub const SPEC: Spec = Spec {
    table: "appointment_attendees",
    parents: &[APPOINTMENT, CONTACT],
    least: r#"{ "appointment_id": "{appointment}", "email": "attendee{n}@example.com" }"#,
    full: r#"{
        "email": " Attendee{n}@Example.COM ", "contact_id": "{own contact}", "name": "Ada", "attendance": "optional",
        "answer": "accepted"
    }"#,
    variants: &[r#"{ "user_id": "{me}" }"#],
    stored: r#"{ "email": "attendee{n}@example.com" }"#,
    kept: r#"{ "answered_at": "2001-01-01T00:00:00Z" }"#,
    change: r#"{ "name": "Changed {n}" }"#,
    sorted: &[
        ("name", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("attendance", &[r#""optional""#, r#""organizer""#, r#""required""#]),
    ],
    keys: &[
        (&["appointment_id", "email"], r#"{ "email": "key{n}@example.com" }"#),
        (&["appointment_id", "contact_id"], r#"{ "contact_id": "{own contact}" }"#),
        (&["appointment_id", "user_id"], r#"{ "appointment_id": "{own appointment}", "user_id": "{me}" }"#),
    ],
    bad: &[
        ("attendance", r#""late""#, "appointment_attendees_attendance_check"),
        ("answer", r#""perhaps""#, "appointment_attendees_answer_check"),
        ("email", "null", "appointment_attendees_is_somebody_check"),
    ],
    part_of: Some("appointment"),
    ..Spec::NOTHING
};
