//! Deleting an organization where the DBA has tables of their own whose keys and triggers wait for the end of the transaction.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crm_http_tests::actor::Actor;
use crm_http_tests::machine::Key;
use crm_http_tests::{admin, sql};
use serde_json::{Value, json};
use uuid::Uuid;

/// The DBA's tables: one at a time, and gone with the test.
struct Fleet(#[allow(dead_code)] MutexGuard<'static, ()>);

/// Whether depots point back to a vehicle.
#[derive(Clone, Copy)]
enum Depots {
    Plain,
    WithFlagships,
}

impl Fleet {
    fn make(depots: Depots) -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        admin::connect()
            .batch_execute(
                "begin;
                 create schema fleet authorization crm_owner;
                 set local role crm_owner;
                 create table crm.depots (
                     org_id uuid not null default crm.current_org_id(),
                     id uuid not null default crm.uuid_v7(),
                     name text,
                     flagship_id uuid,
                     primary key (org_id, id),
                     foreign key (org_id) references crm.organizations (id) deferrable initially deferred
                 );
                 create table crm.vehicles (
                     org_id uuid not null default crm.current_org_id(),
                     id uuid not null default crm.uuid_v7(),
                     plate text,
                     depot_id uuid not null,
                     primary key (org_id, id),
                     foreign key (org_id, depot_id) references crm.depots (org_id, id) deferrable initially deferred
                 );
                 create table fleet.departures (org_id uuid, plate text, noted_by text);
                 create function fleet.note_departure() returns trigger language plpgsql
                     security definer set search_path = pg_catalog, pg_temp as $$
                 begin
                     insert into fleet.departures values (old.org_id, old.plate, session_user);
                     return null;
                 end $$;
                 create constraint trigger note_departure after delete on crm.vehicles
                     deferrable initially deferred for each row execute function fleet.note_departure();
                 set local role none;
                 select crm.enroll('crm.depots', array['name required line 50']);
                 select crm.enroll('crm.vehicles', array['plate required line 10']);
                 commit;",
            )
            .unwrap();
        if let Depots::WithFlagships = depots {
            admin::execute(
                "alter table crm.depots add foreign key (org_id, flagship_id)
                     references crm.vehicles (org_id, id) deferrable initially deferred",
                &[],
            );
        }
        Self(one)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        admin::connect()
            .batch_execute(
                "begin;
                 select crm.unenroll('crm.vehicles'), crm.unenroll('crm.depots');
                 drop table crm.vehicles, crm.depots;
                 drop schema fleet cascade;
                 commit;",
            )
            .unwrap();
    }
}

/// Somebody whose organization has contacts, and two depots with three vehicles each, one of them its flagship.
fn with_fleet() -> Actor {
    let owner = Actor::with_contacts(4);
    let mut client = sql::connect();
    let mut transaction = sql::begin_authenticated(&mut client, owner.token()).unwrap();
    transaction
        .batch_execute(
            "insert into crm.depots (name) select 'Depot ' || n from generate_series(1, 2) as n;
             insert into crm.vehicles (plate, depot_id)
             select 'V ' || n, id from crm.depots, generate_series(1, 3) as n;
             update crm.depots
             set flagship_id = (select v.id from crm.vehicles as v where v.depot_id = depots.id limit 1);",
        )
        .unwrap();
    transaction.commit().unwrap();
    assert_eq!(rows_of(&owner), (4, 2, 6));
    owner
}

fn rows_of(owner: &Actor) -> (i64, i64, i64) {
    let count = |table| admin::count(table, owner.organization.id);
    (count("contacts"), count("depots"), count("vehicles"))
}

/// What is the organization's own, and what the DBA's tables have of it, in numbers that change when anything does.
fn everything_of(organization: Uuid) -> (String, String) {
    let fleet = admin::value(
        "select md5(string_agg(line, '|' order by line))
         from (
             select d::text || d.xmin || d.ctid as line from crm.depots as d where d.org_id = $1
             union all select v::text || v.xmin || v.ctid from crm.vehicles as v where v.org_id = $1
         ) as rows",
        &[&organization],
    );
    (admin::fingerprint(organization), fleet)
}

fn departed(organization: Uuid) -> i64 {
    admin::value("select count(*) from fleet.departures where org_id = $1", &[&organization])
}

fn delete(owner: &Actor, batch: i32) -> Value {
    let key = Key::of_platform(&["organizations.delete"]);
    key.call("delete_organization", &json!({ "org_id": owner.organization.id, "batch": batch })).expect(200).json()
}

#[test]
fn what_waits_for_the_end_of_each_batch_happens_there() {
    let _fleet = Fleet::make(Depots::Plain);
    let (owner, other) = (with_fleet(), with_fleet());
    let before = everything_of(other.organization.id);
    let mut calls = 1;
    while delete(&owner, 2)["done"] != true {
        calls += 1;
        assert!(calls < 120);
        let (_, _, vehicles) = rows_of(&owner);
        assert_eq!(departed(owner.organization.id) + vehicles, 6);
    }
    assert!(calls > 3, "{calls}");
    assert_eq!(rows_of(&owner), (0, 0, 0));
    assert_eq!(
        admin::value::<i64>("select count(*) from crm.organizations where id = $1", &[&owner.organization.id]),
        0
    );
    assert_eq!((departed(owner.organization.id), departed(other.organization.id)), (6, 0));
    assert_eq!(
        admin::value::<Vec<String>>("select array_agg(distinct noted_by) from fleet.departures", &[]),
        ["crm_authenticator"]
    );
    assert_eq!(everything_of(other.organization.id), before);
    assert_eq!(rows_of(&other), (4, 2, 6));
}

#[test]
fn rows_that_point_to_each_other_go_in_one_batch() {
    let _fleet = Fleet::make(Depots::WithFlagships);
    let (owner, other) = (with_fleet(), with_fleet());
    let before = everything_of(other.organization.id);
    let answer = delete(&owner, 10_000);
    assert_eq!((&answer["deleted"], &answer["done"]), (&json!(1), &json!(true)));
    assert_eq!(rows_of(&owner), (0, 0, 0));
    assert_eq!((departed(owner.organization.id), departed(other.organization.id)), (6, 0));
    assert_eq!(everything_of(other.organization.id), before);
}

#[test]
fn a_batch_that_would_leave_half_of_them_is_refused() {
    let _fleet = Fleet::make(Depots::WithFlagships);
    let owner = with_fleet();
    let key = Key::of_platform(&["organizations.delete"]);
    let in_batches = || {
        for _ in 0..100 {
            let arguments = json!({ "org_id": owner.organization.id, "batch": 1 });
            let answer = key.call("delete_organization", &arguments);
            if answer.status != 200 {
                return answer;
            }
            assert_eq!(answer.json()["done"], false);
        }
        panic!("it goes on and on");
    };
    assert_eq!(in_batches().expect(409).code(), "23503");
    let (_, depots, vehicles) = rows_of(&owner);
    assert_eq!((depots, vehicles, departed(owner.organization.id)), (2, 6, 0));
    assert_eq!(delete(&owner, 10_000)["done"], true);
    assert_eq!(rows_of(&owner), (0, 0, 0));
}
