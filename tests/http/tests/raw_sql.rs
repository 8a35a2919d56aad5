//! Raw SQL by somebody who can run it as crm_authenticator or inside a request: nothing makes them somebody else.

use crm_http_tests::actor::Actor;
use crm_http_tests::sql::{self, assert_nobody, assert_nobody_in};
use crm_http_tests::{admin, all, token};
use postgres::{Client, Transaction};
use serde_json::json;
use uuid::Uuid;

/// The identity of this user as the library writes it.
fn identity_of(user: &Actor) -> String {
    json!({
        "user_id": user.user, "session_id": user.session(),
        "organization": { "id": user.organization.id, "role": "owner", "country": null },
    })
    .to_string()
}

/// Settings that may be believed, with the victim's values.
fn forgeries(victim: &Actor) -> Vec<(&'static str, String)> {
    vec![
        ("request.jwt.claims", token::payload(victim.token()).to_string()),
        ("request.jwt.claim.sub", victim.user.to_string()),
        ("request.jwt.claim.org_id", victim.organization.id.to_string()),
        ("request.headers", json!({ "x-org-id": victim.organization.id }).to_string()),
        ("crm.identity", identity_of(victim)),
        ("CRM.Identity", identity_of(victim)),
        ("crm.user_id", victim.user.to_string()),
        ("crm.org_id", victim.organization.id.to_string()),
    ]
}

/// Every way to write a setting.
fn statements((name, value): &(&str, String)) -> Vec<String> {
    let value = value.replace('\'', "''");
    vec![
        format!("set {name} = '{value}'"),
        format!("set local {name} = '{value}'"),
        format!("set session {name} = '{value}'"),
        format!("select set_config('{name}', '{value}', false)"),
        format!("select set_config('{name}', '{value}', true)"),
    ]
}

/// Runs what may be refused; the transaction goes on either way.
fn try_in(transaction: &mut Transaction, statement: &str) -> Result<(), postgres::Error> {
    let mut savepoint = transaction.savepoint("attempt")?;
    match savepoint.batch_execute(statement) {
        Ok(()) => savepoint.commit(),
        Err(error) => savepoint.rollback().and(Err(error)),
    }
}

// ---------------------------------------------------------------------------------------------- settings

#[test]
fn an_attacker_who_writes_settings_is_still_nobody() {
    let victim = Actor::with_contacts(1);
    for statement in forgeries(&victim).iter().flat_map(statements) {
        // Before the library is loaded, and after.
        write_and_look(&mut sql::connect(), &statement);
        sql::session(|client| write_and_look(client, &statement));
    }
}

/// Refused or not, alone or in a transaction: writing a setting has no effect.
fn write_and_look(client: &mut Client, statement: &str) {
    let _may_be_refused = client.batch_execute(statement);
    assert_nobody(client);
    let mut transaction = sql::begin_as(client, "crm_app").unwrap();
    let _may_be_refused = try_in(&mut transaction, statement);
    assert_nobody_in(&mut transaction);
}

#[test]
fn an_attacker_who_writes_settings_in_the_connections_options_is_still_nobody() {
    let victim = Actor::with_contacts(1);
    for (name, value) in forgeries(&victim) {
        let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
        for option in [format!("-c {name}={value}"), format!("--{name}={value}")] {
            if let Ok(mut client) = sql::connect_with(&option) {
                assert_nobody(&mut client);
            }
        }
    }
}

/// A new session after the login role has tried to give itself this setting.
fn with_setting_of_login_role(library_is_loaded: bool, setting: &str, check: impl FnOnce(&mut Client)) {
    let mut client = sql::connect();
    if library_is_loaded {
        assert_nobody(&mut client);
    }
    let _may_be_refused = client.batch_execute(&format!("alter role crm_authenticator set {setting}"));
    let mut next = sql::connect();
    let (name, _) = setting.split_once(' ').unwrap();
    admin::execute(&format!("alter role crm_authenticator reset {name}"), &[]);
    check(&mut next);
}

#[test]
fn an_attacker_who_writes_settings_for_the_login_role_is_still_nobody() {
    let victim = Actor::with_contacts(1);
    let identity = format!("crm.identity = '{}'", identity_of(&victim));
    for library_is_loaded in [false, true] {
        with_setting_of_login_role(library_is_loaded, &identity, assert_nobody);
    }
    for role in ["postgres", "crm_owner", "crm_backup"] {
        with_setting_of_login_role(false, &format!("role = {role}"), |client| {
            let current: String = client.query_one("select current_user::text", &[]).unwrap().get(0);
            assert_eq!(current, "crm_authenticator");
        });
    }
}

#[test]
fn an_attacker_cannot_tell_postgrest_another_key_or_role() {
    for setting in ["jwt_secret", "jwt_aud", "jwt_role_claim_key", "db_anon_role", "db_pre_request", "db_schemas"] {
        for (as_role, whose) in
            [("none", "crm_authenticator"), ("crm_app", "crm_app"), ("crm_anon", "crm_anon"), ("none", "crm_app")]
        {
            for target in [format!("role {whose}"), format!("role {whose} in database crm"), "database crm".into()] {
                let statement = format!("alter {target} set pgrst.{setting} = 'x'");
                let state = sql::session(|client| {
                    let mut transaction = sql::begin_as(client, as_role).unwrap();
                    transaction.batch_execute(&format!("set pgrst.{setting} = 'x'")).unwrap();
                    sql::sqlstate(transaction.batch_execute(&statement))
                });
                assert_eq!(state, "42501", "{statement}");
            }
        }
    }
}

#[test]
fn an_attacker_may_not_write_or_read_the_identity_once_the_library_is_loaded() {
    let victim = Actor::with_contacts(0);
    let mut client = sql::connect();
    assert_nobody(&mut client);
    for statement in statements(&("crm.identity", identity_of(&victim))) {
        assert_eq!(sql::sqlstate(client.batch_execute(&statement)), "42501", "{statement}");
    }
    for statement in ["show crm.identity", "select current_setting('crm.identity')", "reset crm.identity"] {
        assert_eq!(sql::sqlstate(client.batch_execute(statement)), "42501", "{statement}");
    }
    for statement in ["set crm.user_id = 'x'", "set crm.anything = 'x'"] {
        assert_eq!(sql::sqlstate(client.batch_execute(statement)), "42602", "{statement}");
    }
}

#[test]
fn an_attacker_who_writes_the_pre_requests_input_needs_a_good_token_still() {
    let (victim, attacker) = (Actor::with_contacts(1), Actor::with_contacts(2));
    let mut client = sql::connect();
    let claims = token::payload(victim.token()).to_string();
    let bearer = |token: &str| json!({ "authorization": format!("Bearer {token}") }).to_string();
    let unsigned = format!("e30.{}.e30", token::base64url(&claims));
    for headers in ["{}".into(), bearer(attacker.token()), bearer(&unsigned), "[]".into(), "junk".into(), String::new()]
    {
        let mut transaction = sql::begin_as(&mut client, "crm_app").unwrap();
        let set = "select set_config('request.jwt.claims', $1, true), set_config('request.headers', $2, true)";
        transaction.execute(set, &[&claims, &headers]).unwrap();
        assert_eq!(sql::sqlstate(transaction.execute("select crm.pre_request()", &[])), "PT401", "{headers}");
    }
    assert_nobody(&mut client);
}

#[test]
fn an_attacker_with_a_token_stays_who_they_are_whatever_they_set() {
    let (victim, attacker) = (Actor::with_contacts(1), Actor::with_contacts(2));
    let others = [
        "reset all",
        "reset crm.identity",
        "set crm.identity to default",
        "set local crm.identity to default",
        "discard plans",
        "discard temp",
        "set local search_path = pg_temp, public",
        "set local row_security = off",
        "set local session_replication_role = replica",
        "load 'crm_ext'",
        "create temp table contacts (last_name text)",
        "set local plan_cache_mode = force_generic_plan",
        "set local role crm_app",
        "set local constraint_exclusion = on",
    ];
    let forged: Vec<_> = forgeries(&victim).iter().flat_map(statements).collect();
    for statement in forged.iter().map(String::as_str).chain(others) {
        sql::session(|client| stays_who_they_are(client, &attacker, statement));
    }
}

fn stays_who_they_are(client: &mut Client, attacker: &Actor, statement: &str) {
    let mut transaction = sql::begin_authenticated(client, attacker.token()).unwrap();
    let _may_be_refused = try_in(&mut transaction, statement);
    assert_eq!(sql::current_user(&mut transaction), Some(attacker.user), "{statement}");
    let own = |row: &postgres::Row| row.get::<_, Uuid>(0) == attacker.organization.id;
    match transaction.query("select org_id from crm.contacts", &[]) {
        Ok(rows) => assert!(rows.len() == 2 && rows.iter().all(own), "{statement}: {rows:?}"),
        // PostgreSQL refuses the query then, instead of answering without policies.
        Err(error) => assert!(statement.contains("row_security"), "{statement}: {error}"),
    }
    drop(transaction);
    assert_nobody(client);
}

// ---------------------------------------------------------------------------------------------- roles

#[test]
fn an_attacker_cannot_take_a_role_that_is_not_for_requests() {
    let attacker = Actor::with_contacts(1);
    let roles = ["postgres", "crm_owner", "crm_definer", "crm_admin", "crm_worker", "crm_backup", "pg_read_all_data"];
    all(roles, |role| {
        let ways = [
            format!("set role {role}"),
            format!("set local role {role}"),
            format!("set session authorization {role}"),
            format!("select set_config('role', '{role}', true)"),
            format!("select set_config('session_authorization', '{role}', false)"),
            format!("grant {role} to crm_authenticator"),
            format!("create role thief in role {role}"),
        ];
        sql::session(|client| {
            for statement in ways {
                let mut transaction = sql::begin_authenticated(client, attacker.token()).unwrap();
                let in_request = transaction.batch_execute(&statement);
                drop(transaction);
                if in_request.is_ok() || client.batch_execute(&statement).is_ok() {
                    return Err(statement);
                }
            }
            Ok(())
        })
    });
}

#[test]
fn an_attacker_sees_no_more_in_the_other_users_role() {
    Actor::with_contacts(1);
    let attacker = Actor::with_contacts(2);
    let mut client = sql::connect();
    let mut transaction = sql::begin_authenticated(&mut client, attacker.token()).unwrap();
    transaction.batch_execute("set local role crm_multi").unwrap();
    assert_eq!(sql::current_user(&mut transaction), Some(attacker.user));
    assert_eq!(sql::contacts(&mut transaction), 2);
    transaction.batch_execute("set local role crm_anon").unwrap();
    assert_eq!(sql::sqlstate(try_in(&mut transaction, "select from crm.contacts")), "42501");
    // The login role itself may not even enter the schema.
    transaction.batch_execute("set local role none").unwrap();
    assert_eq!(sql::sqlstate(try_in(&mut transaction, "select crm.whoami()")), "42501");
}

const PRIVATE: [&str; 37] = [
    "select * from crm_private.signing_keys",
    "select private_key from crm_private.signing_keys",
    "select * from crm_private.passwords",
    "select * from crm_private.sessions",
    "select * from crm_private.settings",
    "update crm_private.settings set issuer = 'x'",
    "select crm_private.begin_request()",
    "select crm_private.begin_with_token('x')",
    "select crm_private.postgrest_config()",
    "select crm_private.install()",
    "select crm.rotate_signing_key()",
    "select crm.issue_token(crm.current_user_id())",
    "select crm.load_demo()",
    "select crm.enroll('crm.contacts')",
    "select crm.unenroll('crm.contacts')",
    "alter table crm.contacts disable row level security",
    "create policy mine on crm.contacts using (true)",
    "drop policy contacts_select_app on crm.contacts",
    "drop trigger _500_stamp on crm.contacts",
    "truncate crm.contacts",
    "create table crm.mine (id int)",
    "create function crm.mine() returns int language sql as 'select 1'",
    "create or replace function crm.current_org_id() returns uuid language sql as 'select null::uuid'",
    "drop extension crm_ext",
    "copy crm.contacts to program 'cat'",
    "select pg_read_file('/etc/passwd')",
    "insert into crm.memberships (org_id, user_id, role) select org_id, user_id, 'owner' from crm.memberships",
    "update crm.memberships set role = 'owner'",
    "insert into crm.built_in_permissions (role, permission, scope) values ('sales', '*.*', 'all')",
    "update crm.built_in_permissions set scope = 'all'",
    "update crm.built_in_roles set rank = 1",
    "insert into crm.permissions (resource, action, description) values ('contacts', 'fly', 'Fly.')",
    "delete from crm.permissions",
    "truncate crm.role_permissions",
    "alter table crm.group_members disable trigger _400_delegation",
    "select * from crm.check_enrollment()",
    "select * from crm.doctor()",
];

#[test]
fn an_attacker_reaches_nothing_private() {
    let attacker = Actor::with_contacts(1);
    all(PRIVATE, |statement| {
        let state = sql::session(|client| {
            let mut transaction = sql::begin_authenticated(client, attacker.token()).unwrap();
            sql::sqlstate(transaction.batch_execute(statement))
        });
        if state == "42501" { Ok(()) } else { Err(format!("{statement}: {state}")) }
    });
}
