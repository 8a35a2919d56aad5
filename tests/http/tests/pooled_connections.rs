//! One connection, many people, as in PostgREST's pool or an application's: nobody is who was there before.

use crm_http_tests::actor::Actor;
use crm_http_tests::sql::{self, assert_nobody, assert_nobody_in};
use postgres::{Client, Transaction};
use serde_json::{Value, json};

type Begin = for<'a> fn(&'a mut Client, &str) -> Result<Transaction<'a>, postgres::Error>;

#[test]
fn an_identity_ends_with_its_transaction() {
    let user = Actor::with_contacts(1);
    let mut client = sql::connect();
    let ways: [(Begin, &str); 4] = [
        (sql::begin_request, "commit"),
        (sql::begin_request, "rollback"),
        (sql::begin_authenticated, "commit"),
        (sql::begin_authenticated, "rollback"),
    ];
    for (begin, ending) in ways {
        let mut transaction = begin(&mut client, user.token()).unwrap();
        assert_eq!(sql::current_user(&mut transaction), Some(user.user));
        assert_eq!(sql::contacts(&mut transaction), 1);
        if ending == "commit" {
            transaction.commit().unwrap()
        } else {
            transaction.rollback().unwrap()
        }
        assert_nobody(&mut client);
    }
}

#[test]
fn an_identity_ends_with_a_transaction_that_fails() {
    let user = Actor::with_contacts(1);
    let mut client = sql::connect();
    let mut transaction = sql::begin_request(&mut client, user.token()).unwrap();
    assert!(transaction.execute("select 1 / 0", &[]).is_err());
    // COMMIT of a failed transaction is a rollback.
    transaction.commit().unwrap();
    assert_nobody(&mut client);
}

#[test]
fn users_take_turns_on_one_connection_and_each_sees_their_own() {
    let (one, two) = (Actor::with_contacts(1), Actor::with_contacts(2));
    let mut client = sql::connect();
    for _ in 0..3 {
        for (user, expected) in [(&one, 1), (&two, 2)] {
            let mut transaction = sql::begin_request(&mut client, user.token()).unwrap();
            assert_eq!(sql::contacts(&mut transaction), expected);
            transaction.commit().unwrap();
        }
        let changed = format!("{}x", one.token());
        assert_eq!(sql::sqlstate(sql::begin_request(&mut client, &changed)), "PT401");
        assert_nobody(&mut client);
    }
}

#[test]
fn a_visitors_request_after_a_users_is_nobodys() {
    let user = Actor::with_contacts(1);
    let mut client = sql::connect();
    sql::begin_request(&mut client, user.token()).unwrap().commit().unwrap();
    let mut transaction = client.transaction().unwrap();
    transaction.batch_execute("set local role crm_anon; select crm.pre_request()").unwrap();
    assert_eq!(sql::whoami(&mut transaction)["authenticated"], false);
    assert_eq!(sql::sqlstate(transaction.query("select from crm.contacts", &[])), "42501");
}

#[test]
fn a_rolled_back_savepoint_restores_the_earlier_identity() {
    let (one, two) = (Actor::with_contacts(1), Actor::with_contacts(2));
    let mut client = sql::connect();
    let mut transaction = sql::begin_authenticated(&mut client, one.token()).unwrap();
    let mut savepoint = transaction.savepoint("s").unwrap();
    sql::authenticate(&mut savepoint, two.token()).unwrap();
    assert_eq!(sql::contacts(&mut savepoint), 2);
    savepoint.rollback().unwrap();
    assert_eq!(sql::current_user(&mut transaction), Some(one.user));
    assert_eq!(sql::contacts(&mut transaction), 1);

    let mut savepoint = transaction.savepoint("s").unwrap();
    assert_eq!(sql::sqlstate(sql::authenticate(&mut savepoint, "e30.e30.e30")), "PT401");
    savepoint.rollback().unwrap();
    assert_eq!(sql::contacts(&mut transaction), 1);

    let mut savepoint = transaction.savepoint("s").unwrap();
    sql::authenticate(&mut savepoint, two.token()).unwrap();
    savepoint.commit().unwrap();
    assert_eq!(sql::contacts(&mut transaction), 2, "a released savepoint keeps the later identity");
    transaction.commit().unwrap();
    assert_nobody(&mut client);
}

#[test]
fn an_identity_taken_in_a_rolled_back_savepoint_is_gone() {
    let user = Actor::with_contacts(1);
    let mut client = sql::connect();
    let mut transaction = sql::begin_as(&mut client, "crm_app").unwrap();
    let mut savepoint = transaction.savepoint("s").unwrap();
    sql::authenticate(&mut savepoint, user.token()).unwrap();
    assert_eq!(sql::contacts(&mut savepoint), 1);
    savepoint.rollback().unwrap();
    assert_nobody_in(&mut transaction);
}

#[test]
fn an_identity_taken_in_a_failed_block_of_plpgsql_is_gone() {
    let user = Actor::with_contacts(1);
    let mut client = sql::connect();
    let mut transaction = sql::begin_as(&mut client, "crm_app").unwrap();
    // The token goes through a setting: a literal would stand in the server's log.
    transaction.execute("select set_config('test.token', $1, true)", &[&user.token()]).unwrap();
    let block = "do $$
        begin
            perform crm.authenticate(current_setting('test.token'));
            assert (select count(*) from crm.contacts) = 1;
            perform 1 / 0;
        exception when division_by_zero then
            null;
        end
        $$";
    transaction.batch_execute(block).unwrap();
    assert_nobody_in(&mut transaction);
}

#[test]
fn an_identity_taken_outside_a_transaction_lasts_one_statement() {
    let user = Actor::with_contacts(1);
    let mut client = sql::connect();
    client.batch_execute("set role crm_app").unwrap();
    let answer: Value = client.query_one("select crm.authenticate($1)", &[&user.token()]).unwrap().get(0);
    assert_eq!(answer["user_id"], json!(user.user));
    client.batch_execute("reset role").unwrap();
    assert_nobody(&mut client);
}

#[test]
fn a_statement_prepared_under_one_user_shows_the_next_user_their_own() {
    let (one, two) = (Actor::with_contacts(1), Actor::with_contacts(2));
    for mode in ["force_generic_plan", "force_custom_plan", "auto"] {
        let mut client = sql::connect();
        client.batch_execute(&format!("set plan_cache_mode = {mode}")).unwrap();
        let prepare = "prepare mine as select count(*) from crm.contacts where last_name like 'Contact%'";
        let mut prepared = false;
        for (user, expected) in [(&one, 1), (&two, 2), (&one, 1), (&two, 2)].repeat(3) {
            let mut transaction = sql::begin_authenticated(&mut client, user.token()).unwrap();
            if !prepared {
                transaction.batch_execute(prepare).unwrap();
                prepared = true;
            }
            assert_eq!(execute_count(&mut transaction, "execute mine"), expected, "{mode}");
            transaction.commit().unwrap();
        }
        let mut transaction = sql::begin_as(&mut client, "crm_app").unwrap();
        assert_eq!(execute_count(&mut transaction, "execute mine"), 0, "{mode}");
    }
}

fn execute_count(transaction: &mut Transaction, statement: &str) -> i64 {
    let messages = transaction.simple_query(statement).unwrap();
    let row = messages.iter().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    row.unwrap().parse().unwrap()
}

#[test]
fn what_a_user_leaves_in_a_session_shows_its_rows_until_discard_all() {
    // K4 of SECURITY.md, a limit of PostgreSQL itself. Over HTTP nobody can leave anything.
    let user = Actor::with_contacts(1);
    let mut client = sql::connect();
    let mut transaction = sql::begin_authenticated(&mut client, user.token()).unwrap();
    transaction.batch_execute("declare kept cursor with hold for select last_name from crm.contacts").unwrap();
    transaction.commit().unwrap();
    assert_nobody(&mut client);
    assert_eq!(client.query("fetch all from kept", &[]).unwrap().len(), 1);
    client.batch_execute("discard all").unwrap();
    assert_eq!(sql::sqlstate(client.query("fetch all from kept", &[])), "34000");
    assert_nobody(&mut client);
}
