--
-- PostgreSQL database dump
--


-- Dumped from database version 15.20 (Debian 15.20-0+deb12u1)
-- Dumped by pg_dump version 15.20 (Debian 15.20-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: crm_ext; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS crm_ext WITH SCHEMA public;


--
-- Name: EXTENSION crm_ext; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION crm_ext IS 'a headless, multi-tenant CRM: schema, row level security, tokens, permissions';


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: accounts; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.accounts (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    name text NOT NULL,
    domain text,
    website text,
    type text DEFAULT 'prospect'::text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    industry text,
    employees integer,
    annual_revenue numeric(19,4),
    currency text,
    email text,
    phone text,
    phone_normalized text,
    tax_id text,
    billing_street text,
    billing_city text,
    billing_state text,
    billing_postal_code text,
    billing_country text,
    shipping_street text,
    shipping_city text,
    shipping_state text,
    shipping_postal_code text,
    shipping_country text,
    linkedin_url text,
    description text,
    parent_id uuid,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT accounts_annual_revenue_check CHECK (((annual_revenue >= (0)::numeric) AND (annual_revenue <> 'NaN'::numeric))),
    CONSTRAINT accounts_billing_country_check CHECK ((billing_country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT accounts_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT accounts_employees_check CHECK (((employees >= 0) AND (employees <= 100000000))),
    CONSTRAINT accounts_parent_id_check CHECK ((parent_id <> id)),
    CONSTRAINT accounts_shipping_country_check CHECK ((shipping_country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT accounts_status_check CHECK ((status = ANY (ARRAY['active'::text, 'inactive'::text, 'archived'::text]))),
    CONSTRAINT accounts_type_check CHECK ((type = ANY (ARRAY['customer'::text, 'prospect'::text, 'partner'::text, 'reseller'::text, 'vendor'::text, 'other'::text])))
);

ALTER TABLE ONLY crm.accounts FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.accounts OWNER TO crm_owner;

--
-- Name: TABLE accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.accounts IS 'Companies: customers, prospects, partners and others the organization deals with.';


--
-- Name: COLUMN accounts.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN accounts.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN accounts.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.name IS 'The company''s name; several may have the same.';


--
-- Name: COLUMN accounts.domain; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.domain IS 'Internet domain, lower case, without www.';


--
-- Name: COLUMN accounts.website; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.website IS 'https://…';


--
-- Name: COLUMN accounts.type; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.type IS 'customer, prospect, partner, reseller, vendor or other.';


--
-- Name: COLUMN accounts.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.status IS 'active, inactive or archived.';


--
-- Name: COLUMN accounts.industry; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.industry IS 'Free text.';


--
-- Name: COLUMN accounts.employees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.employees IS 'How many people work there.';


--
-- Name: COLUMN accounts.annual_revenue; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.annual_revenue IS 'In the currency of the column currency.';


--
-- Name: COLUMN accounts.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.currency IS 'ISO 4217.';


--
-- Name: COLUMN accounts.email; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.email IS 'Stored trimmed and in lower case: filter with the lower-case address.';


--
-- Name: COLUMN accounts.phone; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.phone IS 'As given.';


--
-- Name: COLUMN accounts.phone_normalized; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.phone_normalized IS 'The phone number in E.164 form (+4989123456), kept by the database; empty when it is no valid number.';


--
-- Name: COLUMN accounts.tax_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.tax_id IS 'VAT or other tax number, as given.';


--
-- Name: COLUMN accounts.billing_street; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.billing_street IS 'Billing address: street and number, in one or more lines.';


--
-- Name: COLUMN accounts.billing_city; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.billing_city IS 'Billing address: city.';


--
-- Name: COLUMN accounts.billing_state; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.billing_state IS 'Billing address: state, province or region.';


--
-- Name: COLUMN accounts.billing_postal_code; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.billing_postal_code IS 'Billing address: postal code.';


--
-- Name: COLUMN accounts.billing_country; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.billing_country IS 'Billing address: ISO 3166-1 alpha-2.';


--
-- Name: COLUMN accounts.shipping_street; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.shipping_street IS 'Shipping address: street and number, in one or more lines.';


--
-- Name: COLUMN accounts.shipping_city; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.shipping_city IS 'Shipping address: city.';


--
-- Name: COLUMN accounts.shipping_state; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.shipping_state IS 'Shipping address: state, province or region.';


--
-- Name: COLUMN accounts.shipping_postal_code; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.shipping_postal_code IS 'Shipping address: postal code.';


--
-- Name: COLUMN accounts.shipping_country; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.shipping_country IS 'Shipping address: ISO 3166-1 alpha-2.';


--
-- Name: COLUMN accounts.linkedin_url; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.linkedin_url IS 'https://www.linkedin.com/company/…';


--
-- Name: COLUMN accounts.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.description IS 'Plain text.';


--
-- Name: COLUMN accounts.parent_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.parent_id IS 'The account this one belongs to, of the same organization. Circles are refused (22023).';


--
-- Name: COLUMN accounts.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN accounts.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN accounts.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN accounts.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN accounts.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN accounts.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN accounts.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN accounts.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN accounts.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.accounts.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: parent(crm.accounts); Type: FUNCTION; Schema: crm; Owner: crm_owner
--

CREATE FUNCTION crm.parent(account crm.accounts) RETURNS SETOF crm.accounts
    LANGUAGE sql STABLE ROWS 1 PARALLEL RESTRICTED
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$ select a.* from crm.accounts as a where a.org_id = ($1).org_id and a.id = ($1).parent_id $_$;


ALTER FUNCTION crm.parent(account crm.accounts) OWNER TO crm_owner;

--
-- Name: FUNCTION parent(account crm.accounts); Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON FUNCTION crm.parent(account crm.accounts) IS 'The account that an account belongs to, to be embedded: accounts?select=name,parent(name). None where the caller may not read it.';


--
-- Name: subsidiaries(crm.accounts); Type: FUNCTION; Schema: crm; Owner: crm_owner
--

CREATE FUNCTION crm.subsidiaries(account crm.accounts) RETURNS SETOF crm.accounts
    LANGUAGE sql STABLE ROWS 10 PARALLEL RESTRICTED
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$ select a.* from crm.accounts as a where a.org_id = ($1).org_id and a.parent_id = ($1).id $_$;


ALTER FUNCTION crm.subsidiaries(account crm.accounts) OWNER TO crm_owner;

--
-- Name: FUNCTION subsidiaries(account crm.accounts); Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON FUNCTION crm.subsidiaries(account crm.accounts) IS 'The accounts that belong to an account, as far as the caller may read them, to be embedded: accounts?select=name,subsidiaries(name).';


--
-- Name: activities; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.activities (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    type text DEFAULT 'note'::text NOT NULL,
    subject text NOT NULL,
    body text,
    direction text,
    outcome text,
    occurred_at timestamp with time zone DEFAULT now() NOT NULL,
    duration_minutes integer,
    account_id uuid,
    contact_id uuid,
    lead_id uuid,
    deal_id uuid,
    ticket_id uuid,
    project_id uuid,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT activities_direction_check CHECK ((direction = ANY (ARRAY['inbound'::text, 'outbound'::text]))),
    CONSTRAINT activities_duration_minutes_check CHECK (((duration_minutes >= 0) AND (duration_minutes <= 100000))),
    CONSTRAINT activities_occurred_at_check CHECK (isfinite(occurred_at)),
    CONSTRAINT activities_type_check CHECK ((type = ANY (ARRAY['call'::text, 'email'::text, 'meeting'::text, 'note'::text])))
);

ALTER TABLE ONLY crm.activities FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.activities OWNER TO crm_owner;

--
-- Name: TABLE activities; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.activities IS 'Activities: calls, e-mails, meetings and notes, as they happened.';


--
-- Name: COLUMN activities.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN activities.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN activities.type; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.type IS 'call, email, meeting or note.';


--
-- Name: COLUMN activities.subject; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.subject IS 'Of at most 300 characters.';


--
-- Name: COLUMN activities.body; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.body IS 'Rich text (HTML, sanitised).';


--
-- Name: COLUMN activities.direction; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.direction IS 'inbound or outbound, for what has one.';


--
-- Name: COLUMN activities.outcome; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.outcome IS 'What came of it: connected, left a message, no answer …';


--
-- Name: COLUMN activities.occurred_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.occurred_at IS 'When it happened; now, unless told.';


--
-- Name: COLUMN activities.duration_minutes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.duration_minutes IS 'How long it took, in minutes.';


--
-- Name: COLUMN activities.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.account_id IS 'About an account of the same organization.';


--
-- Name: COLUMN activities.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.contact_id IS 'About a contact of the same organization.';


--
-- Name: COLUMN activities.lead_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.lead_id IS 'About a lead of the same organization.';


--
-- Name: COLUMN activities.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.deal_id IS 'About a deal of the same organization.';


--
-- Name: COLUMN activities.ticket_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.ticket_id IS 'About a ticket of the same organization.';


--
-- Name: COLUMN activities.project_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.project_id IS 'About a project of the same organization.';


--
-- Name: COLUMN activities.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN activities.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN activities.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN activities.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN activities.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN activities.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN activities.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN activities.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN activities.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activities.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: activity_links; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.activity_links (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    activity_id uuid NOT NULL,
    account_id uuid,
    contact_id uuid,
    lead_id uuid,
    deal_id uuid,
    ticket_id uuid,
    project_id uuid,
    owner_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT activity_links_one_record_check CHECK ((num_nonnulls(account_id, contact_id, lead_id, deal_id, ticket_id, project_id) = 1))
);

ALTER TABLE ONLY crm.activity_links FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.activity_links OWNER TO crm_owner;

--
-- Name: TABLE activity_links; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.activity_links IS 'Further records that an activity is about. Each row links one.';


--
-- Name: COLUMN activity_links.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN activity_links.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN activity_links.activity_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.activity_id IS 'The activity, of the same organization.';


--
-- Name: COLUMN activity_links.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.account_id IS 'Links an account of the same organization.';


--
-- Name: COLUMN activity_links.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.contact_id IS 'Links a contact of the same organization.';


--
-- Name: COLUMN activity_links.lead_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.lead_id IS 'Links a lead of the same organization.';


--
-- Name: COLUMN activity_links.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.deal_id IS 'Links a deal of the same organization.';


--
-- Name: COLUMN activity_links.ticket_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.ticket_id IS 'Links a ticket of the same organization.';


--
-- Name: COLUMN activity_links.project_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.project_id IS 'Links a project of the same organization.';


--
-- Name: COLUMN activity_links.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN activity_links.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN activity_links.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN activity_links.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN activity_links.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN activity_links.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.activity_links.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: appointment_attendees; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.appointment_attendees (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    appointment_id uuid NOT NULL,
    contact_id uuid,
    user_id uuid,
    email text,
    name text,
    attendance text DEFAULT 'required'::text NOT NULL,
    answer text DEFAULT 'needs_action'::text NOT NULL,
    answered_at timestamp with time zone,
    owner_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT appointment_attendees_answer_check CHECK ((answer = ANY (ARRAY['needs_action'::text, 'accepted'::text, 'declined'::text, 'tentative'::text]))),
    CONSTRAINT appointment_attendees_attendance_check CHECK ((attendance = ANY (ARRAY['organizer'::text, 'required'::text, 'optional'::text]))),
    CONSTRAINT appointment_attendees_is_somebody_check CHECK ((num_nonnulls(contact_id, user_id, email) >= 1))
);

ALTER TABLE ONLY crm.appointment_attendees FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.appointment_attendees OWNER TO crm_owner;

--
-- Name: TABLE appointment_attendees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.appointment_attendees IS 'Who is invited to an appointment, and what they answered: contacts, members or anybody with an e-mail address.';


--
-- Name: COLUMN appointment_attendees.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN appointment_attendees.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN appointment_attendees.appointment_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.appointment_id IS 'The appointment, of the same organization.';


--
-- Name: COLUMN appointment_attendees.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.contact_id IS 'A contact of the same organization.';


--
-- Name: COLUMN appointment_attendees.user_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.user_id IS 'A member of the organization.';


--
-- Name: COLUMN appointment_attendees.email; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.email IS 'Stored trimmed and in lower case, once per appointment.';


--
-- Name: COLUMN appointment_attendees.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.name IS 'For people who are neither contact nor member.';


--
-- Name: COLUMN appointment_attendees.attendance; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.attendance IS 'organizer, required or optional.';


--
-- Name: COLUMN appointment_attendees.answer; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.answer IS 'needs_action, accepted, declined or tentative.';


--
-- Name: COLUMN appointment_attendees.answered_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.answered_at IS 'Since when there is an answer; kept by the database.';


--
-- Name: COLUMN appointment_attendees.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN appointment_attendees.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN appointment_attendees.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN appointment_attendees.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN appointment_attendees.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN appointment_attendees.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointment_attendees.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: appointments; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.appointments (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    title text NOT NULL,
    description text,
    starts_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    all_day boolean DEFAULT false NOT NULL,
    time_zone text,
    location text,
    meeting_url text,
    status text DEFAULT 'confirmed'::text NOT NULL,
    remind_at timestamp with time zone,
    account_id uuid,
    contact_id uuid,
    lead_id uuid,
    deal_id uuid,
    ticket_id uuid,
    project_id uuid,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT appointments_ends_after_start_check CHECK ((ends_at > starts_at)),
    CONSTRAINT appointments_ends_at_check CHECK (isfinite(ends_at)),
    CONSTRAINT appointments_remind_at_check CHECK (isfinite(remind_at)),
    CONSTRAINT appointments_starts_at_check CHECK (isfinite(starts_at)),
    CONSTRAINT appointments_status_check CHECK ((status = ANY (ARRAY['tentative'::text, 'confirmed'::text, 'completed'::text, 'cancelled'::text, 'no_show'::text])))
);

ALTER TABLE ONLY crm.appointments FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.appointments OWNER TO crm_owner;

--
-- Name: TABLE appointments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.appointments IS 'Appointments: what is in the calendar.';


--
-- Name: COLUMN appointments.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN appointments.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN appointments.title; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.title IS 'Of at most 300 characters.';


--
-- Name: COLUMN appointments.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.description IS 'Rich text (HTML, sanitised).';


--
-- Name: COLUMN appointments.starts_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.starts_at IS 'When it begins; of one that takes all day, the beginning of the first day.';


--
-- Name: COLUMN appointments.ends_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.ends_at IS 'When it ends, after starts_at; of one that takes all day, the beginning of the day after the last.';


--
-- Name: COLUMN appointments.all_day; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.all_day IS 'Whether it takes whole days, of the time zone it is in.';


--
-- Name: COLUMN appointments.time_zone; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.time_zone IS 'The time zone it was made in, a name of the IANA database like Europe/Berlin.';


--
-- Name: COLUMN appointments.location; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.location IS 'Where it takes place.';


--
-- Name: COLUMN appointments.meeting_url; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.meeting_url IS 'Where to join over the network.';


--
-- Name: COLUMN appointments.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.status IS 'tentative, confirmed, completed, cancelled or no_show. From tentative: confirmed, cancelled; from confirmed: any other; from completed: confirmed, no_show; from cancelled: tentative, confirmed; from no_show: confirmed, completed. Any other step is refused (23514, HTTP 422).';


--
-- Name: COLUMN appointments.remind_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.remind_at IS 'When the owner wants to be reminded.';


--
-- Name: COLUMN appointments.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.account_id IS 'About an account of the same organization.';


--
-- Name: COLUMN appointments.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.contact_id IS 'About a contact of the same organization.';


--
-- Name: COLUMN appointments.lead_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.lead_id IS 'About a lead of the same organization.';


--
-- Name: COLUMN appointments.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.deal_id IS 'About a deal of the same organization.';


--
-- Name: COLUMN appointments.ticket_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.ticket_id IS 'About a ticket of the same organization.';


--
-- Name: COLUMN appointments.project_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.project_id IS 'About a project of the same organization.';


--
-- Name: COLUMN appointments.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN appointments.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN appointments.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN appointments.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN appointments.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN appointments.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN appointments.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN appointments.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN appointments.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.appointments.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: attachments; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.attachments (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    file_name text NOT NULL,
    content_type text DEFAULT 'application/octet-stream'::text NOT NULL,
    size_bytes bigint NOT NULL,
    checksum_sha256 text,
    storage_key text NOT NULL,
    storage_url text,
    description text,
    account_id uuid,
    contact_id uuid,
    lead_id uuid,
    deal_id uuid,
    activity_id uuid,
    task_id uuid,
    ticket_id uuid,
    project_id uuid,
    job_id uuid,
    estimate_id uuid,
    invoice_id uuid,
    message_id uuid,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT attachments_checksum_sha256_check CHECK ((checksum_sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT attachments_content_type_check CHECK (((content_type !~ '([/+](xml|xsl)$|javascript|ecmascript|jscript|livescript|vbscript|html?$|html|php|mimearchive|cache-manifest|msdownload|msdos|dosexec|portable-executable|shockwave|java-archive|multipart/)'::text) AND (content_type <> ALL (ARRAY['application/x-executable'::text, 'application/x-mach-binary'::text, 'application/x-sh'::text, 'application/x-csh'::text, 'application/x-bat'::text, 'application/bat'::text, 'application/hta'::text, 'application/x-ms-shortcut'::text, 'application/wasm'::text, 'text/cmd'::text])))),
    CONSTRAINT attachments_file_name_check CHECK (((file_name !~ '[/\\]'::text) AND (file_name <> ALL (ARRAY['.'::text, '..'::text])))),
    CONSTRAINT attachments_one_record_check CHECK ((num_nonnulls(account_id, contact_id, lead_id, deal_id, activity_id, task_id, ticket_id, project_id, job_id, estimate_id, invoice_id, message_id) = 1)),
    CONSTRAINT attachments_size_bytes_check CHECK (((size_bytes >= 1) AND (size_bytes <= 104857600)))
);

ALTER TABLE ONLY crm.attachments FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.attachments OWNER TO crm_owner;

--
-- Name: TABLE attachments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.attachments IS 'Files that belong to a record: what they are and where they lie. The files themselves are elsewhere.';


--
-- Name: COLUMN attachments.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN attachments.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN attachments.file_name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.file_name IS 'At most 255 characters, without / and \.';


--
-- Name: COLUMN attachments.content_type; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.content_type IS 'The type of the file, like application/pdf. What a browser would run is refused: HTML, XML, SVG, scripts, programs.';


--
-- Name: COLUMN attachments.size_bytes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.size_bytes IS 'At most 104857600 (100 MiB).';


--
-- Name: COLUMN attachments.checksum_sha256; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.checksum_sha256 IS 'SHA-256 of the file: 64 hexadecimal digits in lower case.';


--
-- Name: COLUMN attachments.storage_key; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.storage_key IS 'What the store of the files calls it.';


--
-- Name: COLUMN attachments.storage_url; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.storage_url IS 'Where it can be fetched, if it has an address of its own.';


--
-- Name: COLUMN attachments.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.description IS 'Plain text.';


--
-- Name: COLUMN attachments.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.account_id IS 'Belongs to an account of the same organization.';


--
-- Name: COLUMN attachments.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.contact_id IS 'Belongs to a contact of the same organization.';


--
-- Name: COLUMN attachments.lead_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.lead_id IS 'Belongs to a lead of the same organization.';


--
-- Name: COLUMN attachments.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.deal_id IS 'Belongs to a deal of the same organization.';


--
-- Name: COLUMN attachments.activity_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.activity_id IS 'Belongs to an activity of the same organization.';


--
-- Name: COLUMN attachments.task_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.task_id IS 'Belongs to a task of the same organization.';


--
-- Name: COLUMN attachments.ticket_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.ticket_id IS 'Belongs to a ticket of the same organization.';


--
-- Name: COLUMN attachments.project_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.project_id IS 'Belongs to a project of the same organization.';


--
-- Name: COLUMN attachments.job_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.job_id IS 'Belongs to a job of the same organization.';


--
-- Name: COLUMN attachments.estimate_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.estimate_id IS 'Belongs to an estimate of the same organization.';


--
-- Name: COLUMN attachments.invoice_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.invoice_id IS 'Belongs to an invoice of the same organization.';


--
-- Name: COLUMN attachments.message_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.message_id IS 'Belongs to a message of the same organization.';


--
-- Name: COLUMN attachments.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN attachments.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN attachments.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN attachments.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN attachments.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN attachments.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN attachments.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN attachments.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN attachments.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.attachments.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: automations; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.automations (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    name text NOT NULL,
    description text,
    enabled boolean DEFAULT false NOT NULL,
    trigger_event text NOT NULL,
    conditions jsonb DEFAULT '{}'::jsonb NOT NULL,
    actions jsonb DEFAULT '[]'::jsonb NOT NULL,
    run_order integer DEFAULT 100 NOT NULL,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT automations_actions_check CHECK (((jsonb_typeof(actions) = 'array'::text) AND (length((actions)::text) <= 50000))),
    CONSTRAINT automations_conditions_check CHECK (((jsonb_typeof(conditions) = 'object'::text) AND (length((conditions)::text) <= 20000))),
    CONSTRAINT automations_run_order_check CHECK (((run_order >= 0) AND (run_order <= 10000))),
    CONSTRAINT automations_trigger_event_check CHECK ((trigger_event ~ '^[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}$'::text))
);

ALTER TABLE ONLY crm.automations FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.automations OWNER TO crm_owner;

--
-- Name: TABLE automations; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.automations IS 'What should happen by itself when something happened. These are definitions: nothing runs them yet.';


--
-- Name: COLUMN automations.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN automations.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN automations.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.name IS 'Unique within the organization.';


--
-- Name: COLUMN automations.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.description IS 'For people.';


--
-- Name: COLUMN automations.enabled; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.enabled IS 'Whether it is to run.';


--
-- Name: COLUMN automations.trigger_event; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.trigger_event IS 'What sets it off: a resource and what became of it, like deals.updated.';


--
-- Name: COLUMN automations.conditions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.conditions IS 'What must be true of the record, a JSON object of at most 20000 characters.';


--
-- Name: COLUMN automations.actions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.actions IS 'What is then done, a JSON array of at most 50000 characters, in this order.';


--
-- Name: COLUMN automations.run_order; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.run_order IS 'Of several for one event, the lower goes first: 0 to 10000.';


--
-- Name: COLUMN automations.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN automations.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN automations.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN automations.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN automations.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN automations.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.automations.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: built_in_permissions; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.built_in_permissions (
    role text NOT NULL,
    permission text NOT NULL,
    scope text NOT NULL,
    CONSTRAINT built_in_permissions_permission_check CHECK ((permission ~ '^([a-z0-9_]{1,63}|\*)\.([a-z0-9_]{1,63}|\*)$'::text)),
    CONSTRAINT built_in_permissions_scope_check CHECK ((scope = ANY (ARRAY['own'::text, 'team'::text, 'all'::text])))
);

ALTER TABLE ONLY crm.built_in_permissions FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.built_in_permissions OWNER TO crm_owner;

--
-- Name: TABLE built_in_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.built_in_permissions IS 'What the built-in roles may do.';


--
-- Name: COLUMN built_in_permissions.role; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.built_in_permissions.role IS 'The role that has the permission.';


--
-- Name: COLUMN built_in_permissions.permission; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.built_in_permissions.permission IS 'resource.action; * stands for any.';


--
-- Name: COLUMN built_in_permissions.scope; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.built_in_permissions.scope IS 'own: rows one owns; team: rows owned by somebody in a group of one''s; all.';


--
-- Name: built_in_roles; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.built_in_roles (
    name text NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    rank integer NOT NULL,
    CONSTRAINT built_in_roles_rank_check CHECK (((rank >= 1) AND (rank <= 100)))
);

ALTER TABLE ONLY crm.built_in_roles FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.built_in_roles OWNER TO crm_owner;

--
-- Name: TABLE built_in_roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.built_in_roles IS 'The roles that every organization has.';


--
-- Name: COLUMN built_in_roles.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.built_in_roles.name IS 'The name that memberships.role has.';


--
-- Name: COLUMN built_in_roles.title; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.built_in_roles.title IS 'The name that people read.';


--
-- Name: COLUMN built_in_roles.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.built_in_roles.description IS 'What it is for.';


--
-- Name: COLUMN built_in_roles.rank; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.built_in_roles.rank IS 'Nobody sees, gives or takes roles of a higher rank than theirs.';


--
-- Name: companies; Type: VIEW; Schema: crm; Owner: crm_owner
--

CREATE VIEW crm.companies WITH (security_invoker='on') AS
 SELECT accounts.org_id,
    accounts.id,
    accounts.name,
    accounts.domain,
    accounts.website,
    accounts.type,
    accounts.status,
    accounts.industry,
    accounts.employees,
    accounts.annual_revenue,
    accounts.currency,
    accounts.email,
    accounts.phone,
    accounts.phone_normalized,
    accounts.tax_id,
    accounts.billing_street,
    accounts.billing_city,
    accounts.billing_state,
    accounts.billing_postal_code,
    accounts.billing_country,
    accounts.shipping_street,
    accounts.shipping_city,
    accounts.shipping_state,
    accounts.shipping_postal_code,
    accounts.shipping_country,
    accounts.linkedin_url,
    accounts.description,
    accounts.parent_id,
    accounts.tags,
    accounts.custom_fields,
    accounts.owner_id,
    accounts.external_id,
    accounts.created_at,
    accounts.created_by,
    accounts.updated_at,
    accounts.updated_by,
    accounts.version
   FROM crm.accounts;


ALTER TABLE crm.companies OWNER TO crm_owner;

--
-- Name: VIEW companies; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON VIEW crm.companies IS 'The accounts under another name: what is written here is written there, by the same rules and permissions.';


--
-- Name: COLUMN companies.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN companies.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN companies.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.name IS 'The company''s name; several may have the same.';


--
-- Name: COLUMN companies.domain; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.domain IS 'Internet domain, lower case, without www.';


--
-- Name: COLUMN companies.website; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.website IS 'https://…';


--
-- Name: COLUMN companies.type; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.type IS 'customer, prospect, partner, reseller, vendor or other.';


--
-- Name: COLUMN companies.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.status IS 'active, inactive or archived.';


--
-- Name: COLUMN companies.industry; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.industry IS 'Free text.';


--
-- Name: COLUMN companies.employees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.employees IS 'How many people work there.';


--
-- Name: COLUMN companies.annual_revenue; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.annual_revenue IS 'In the currency of the column currency.';


--
-- Name: COLUMN companies.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.currency IS 'ISO 4217.';


--
-- Name: COLUMN companies.email; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.email IS 'Stored trimmed and in lower case: filter with the lower-case address.';


--
-- Name: COLUMN companies.phone; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.phone IS 'As given.';


--
-- Name: COLUMN companies.phone_normalized; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.phone_normalized IS 'The phone number in E.164 form (+4989123456), kept by the database; empty when it is no valid number.';


--
-- Name: COLUMN companies.tax_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.tax_id IS 'VAT or other tax number, as given.';


--
-- Name: COLUMN companies.billing_street; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.billing_street IS 'Billing address: street and number, in one or more lines.';


--
-- Name: COLUMN companies.billing_city; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.billing_city IS 'Billing address: city.';


--
-- Name: COLUMN companies.billing_state; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.billing_state IS 'Billing address: state, province or region.';


--
-- Name: COLUMN companies.billing_postal_code; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.billing_postal_code IS 'Billing address: postal code.';


--
-- Name: COLUMN companies.billing_country; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.billing_country IS 'Billing address: ISO 3166-1 alpha-2.';


--
-- Name: COLUMN companies.shipping_street; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.shipping_street IS 'Shipping address: street and number, in one or more lines.';


--
-- Name: COLUMN companies.shipping_city; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.shipping_city IS 'Shipping address: city.';


--
-- Name: COLUMN companies.shipping_state; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.shipping_state IS 'Shipping address: state, province or region.';


--
-- Name: COLUMN companies.shipping_postal_code; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.shipping_postal_code IS 'Shipping address: postal code.';


--
-- Name: COLUMN companies.shipping_country; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.shipping_country IS 'Shipping address: ISO 3166-1 alpha-2.';


--
-- Name: COLUMN companies.linkedin_url; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.linkedin_url IS 'https://www.linkedin.com/company/…';


--
-- Name: COLUMN companies.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.description IS 'Plain text.';


--
-- Name: COLUMN companies.parent_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.parent_id IS 'The account this one belongs to, of the same organization. Circles are refused (22023).';


--
-- Name: COLUMN companies.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN companies.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN companies.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN companies.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN companies.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN companies.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN companies.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN companies.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN companies.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.companies.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: contact_accounts; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.contact_accounts (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    contact_id uuid NOT NULL,
    account_id uuid NOT NULL,
    role text,
    owner_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL
);

ALTER TABLE ONLY crm.contact_accounts FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.contact_accounts OWNER TO crm_owner;

--
-- Name: TABLE contact_accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.contact_accounts IS 'Companies a contact has a role at, beside the main one, contacts.account_id; or at that one.';


--
-- Name: COLUMN contact_accounts.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_accounts.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN contact_accounts.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_accounts.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN contact_accounts.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_accounts.contact_id IS 'The person.';


--
-- Name: COLUMN contact_accounts.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_accounts.account_id IS 'A company.';


--
-- Name: COLUMN contact_accounts.role; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_accounts.role IS 'What the person is there: board member, consultant …';


--
-- Name: COLUMN contact_accounts.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_accounts.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN contact_accounts.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_accounts.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN contact_accounts.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_accounts.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN contact_accounts.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_accounts.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN contact_accounts.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_accounts.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN contact_accounts.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_accounts.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: contact_emails; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.contact_emails (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    contact_id uuid NOT NULL,
    kind text DEFAULT 'work'::text NOT NULL,
    email text NOT NULL,
    owner_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT contact_emails_kind_check CHECK ((kind = ANY (ARRAY['work'::text, 'home'::text, 'other'::text])))
);

ALTER TABLE ONLY crm.contact_emails FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.contact_emails OWNER TO crm_owner;

--
-- Name: TABLE contact_emails; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.contact_emails IS 'Further e-mail addresses of the contacts. To make one the primary one, write it to contacts.email: the two change places.';


--
-- Name: COLUMN contact_emails.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_emails.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN contact_emails.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_emails.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN contact_emails.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_emails.contact_id IS 'Whose address it is.';


--
-- Name: COLUMN contact_emails.kind; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_emails.kind IS 'work, home or other.';


--
-- Name: COLUMN contact_emails.email; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_emails.email IS 'Stored trimmed and in lower case, unique within the organization, contacts.email included.';


--
-- Name: COLUMN contact_emails.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_emails.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN contact_emails.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_emails.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN contact_emails.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_emails.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN contact_emails.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_emails.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN contact_emails.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_emails.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN contact_emails.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_emails.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: contact_phones; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.contact_phones (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    contact_id uuid NOT NULL,
    kind text DEFAULT 'work'::text NOT NULL,
    phone text NOT NULL,
    phone_normalized text,
    owner_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT contact_phones_kind_check CHECK ((kind = ANY (ARRAY['work'::text, 'home'::text, 'mobile'::text, 'fax'::text, 'other'::text])))
);

ALTER TABLE ONLY crm.contact_phones FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.contact_phones OWNER TO crm_owner;

--
-- Name: TABLE contact_phones; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.contact_phones IS 'Further phone numbers of the contacts. To make one the primary one, write it to contacts.phone: the two change places.';


--
-- Name: COLUMN contact_phones.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN contact_phones.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN contact_phones.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.contact_id IS 'Whose number it is.';


--
-- Name: COLUMN contact_phones.kind; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.kind IS 'work, home, mobile, fax or other.';


--
-- Name: COLUMN contact_phones.phone; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.phone IS 'As given.';


--
-- Name: COLUMN contact_phones.phone_normalized; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.phone_normalized IS 'The phone number in E.164 form (+4989123456), kept by the database; empty when it is no valid number.';


--
-- Name: COLUMN contact_phones.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN contact_phones.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN contact_phones.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN contact_phones.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN contact_phones.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN contact_phones.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contact_phones.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: contacts; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.contacts (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    account_id uuid,
    salutation text,
    first_name text,
    last_name text NOT NULL,
    title text,
    department text,
    status text DEFAULT 'active'::text NOT NULL,
    lead_source text,
    email text,
    email_kind text DEFAULT 'work'::text NOT NULL,
    phone text,
    phone_kind text DEFAULT 'work'::text NOT NULL,
    phone_normalized text,
    do_not_call boolean DEFAULT false NOT NULL,
    do_not_email boolean DEFAULT false NOT NULL,
    linkedin_url text,
    avatar_url text,
    birthday date,
    street text,
    city text,
    state text,
    postal_code text,
    country text,
    description text,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT contacts_birthday_check CHECK (((birthday >= '1850-01-01'::date) AND (birthday <= '2200-01-01'::date))),
    CONSTRAINT contacts_country_check CHECK ((country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT contacts_email_kind_check CHECK ((email_kind = ANY (ARRAY['work'::text, 'home'::text, 'other'::text]))),
    CONSTRAINT contacts_phone_kind_check CHECK ((phone_kind = ANY (ARRAY['work'::text, 'home'::text, 'mobile'::text, 'fax'::text, 'other'::text]))),
    CONSTRAINT contacts_status_check CHECK ((status = ANY (ARRAY['active'::text, 'inactive'::text, 'archived'::text])))
);

ALTER TABLE ONLY crm.contacts FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.contacts OWNER TO crm_owner;

--
-- Name: TABLE contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.contacts IS 'People the organization deals with.';


--
-- Name: COLUMN contacts.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN contacts.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN contacts.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.account_id IS 'The company the contact belongs to; of several, the main one. Further ones are contact_accounts.';


--
-- Name: COLUMN contacts.salutation; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.salutation IS 'Ms, Mr, Dr …';


--
-- Name: COLUMN contacts.first_name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.first_name IS 'Given names.';


--
-- Name: COLUMN contacts.last_name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.last_name IS 'Family name.';


--
-- Name: COLUMN contacts.title; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.title IS 'Job title.';


--
-- Name: COLUMN contacts.department; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.department IS 'Department of the company.';


--
-- Name: COLUMN contacts.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.status IS 'active, inactive or archived.';


--
-- Name: COLUMN contacts.lead_source; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.lead_source IS 'How the contact was won: web, referral, event …';


--
-- Name: COLUMN contacts.email; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.email IS 'The primary address; further ones are contact_emails. Set to one of those, the two change places. Stored trimmed and in lower case, unique within the organization: filter with the lower-case address.';


--
-- Name: COLUMN contacts.email_kind; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.email_kind IS 'Of the primary address: work, home or other.';


--
-- Name: COLUMN contacts.phone; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.phone IS 'The primary number, as given; further ones are contact_phones. Set to one of those, the two change places.';


--
-- Name: COLUMN contacts.phone_kind; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.phone_kind IS 'Of the primary number: work, home, mobile, fax or other.';


--
-- Name: COLUMN contacts.phone_normalized; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.phone_normalized IS 'The phone number in E.164 form (+4989123456), kept by the database; empty when it is no valid number.';


--
-- Name: COLUMN contacts.do_not_call; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.do_not_call IS 'Does not want to be called.';


--
-- Name: COLUMN contacts.do_not_email; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.do_not_email IS 'Does not want e-mail.';


--
-- Name: COLUMN contacts.linkedin_url; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.linkedin_url IS 'https://www.linkedin.com/in/…';


--
-- Name: COLUMN contacts.avatar_url; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.avatar_url IS 'https://… of a picture.';


--
-- Name: COLUMN contacts.birthday; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.birthday IS 'YYYY-MM-DD.';


--
-- Name: COLUMN contacts.street; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.street IS 'Address: street and number, in one or more lines.';


--
-- Name: COLUMN contacts.city; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.city IS 'Address: city.';


--
-- Name: COLUMN contacts.state; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.state IS 'Address: state, province or region.';


--
-- Name: COLUMN contacts.postal_code; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.postal_code IS 'Address: postal code.';


--
-- Name: COLUMN contacts.country; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.country IS 'Address: ISO 3166-1 alpha-2.';


--
-- Name: COLUMN contacts.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.description IS 'Plain text.';


--
-- Name: COLUMN contacts.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN contacts.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN contacts.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN contacts.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN contacts.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN contacts.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN contacts.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN contacts.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN contacts.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.contacts.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: custom_fields; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.custom_fields (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    entity text NOT NULL,
    key text NOT NULL,
    label text NOT NULL,
    type text NOT NULL,
    required boolean DEFAULT false NOT NULL,
    is_unique boolean DEFAULT false NOT NULL,
    default_value jsonb,
    options jsonb,
    reference_entity text,
    description text,
    "position" integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT custom_fields_entity_check CHECK (((char_length(entity) >= 1) AND (char_length(entity) <= 63))),
    CONSTRAINT custom_fields_key_check CHECK ((key ~ '^[a-z][a-z0-9_]{0,62}$'::text)),
    CONSTRAINT custom_fields_position_check CHECK ((("position" >= 0) AND ("position" <= 1000000))),
    CONSTRAINT custom_fields_reference_entity_check CHECK (((char_length(reference_entity) >= 1) AND (char_length(reference_entity) <= 63))),
    CONSTRAINT custom_fields_type_check CHECK ((type = ANY (ARRAY['text'::text, 'long_text'::text, 'number'::text, 'boolean'::text, 'date'::text, 'datetime'::text, 'select'::text, 'multi_select'::text, 'url'::text, 'email'::text, 'reference'::text])))
);

ALTER TABLE ONLY crm.custom_fields FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.custom_fields OWNER TO crm_owner;

--
-- Name: TABLE custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.custom_fields IS 'The fields that the organization adds to its records.';


--
-- Name: COLUMN custom_fields.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN custom_fields.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN custom_fields.entity; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.entity IS 'The table the field is for, like contacts. It cannot be changed.';


--
-- Name: COLUMN custom_fields.key; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.key IS 'Under which a record''s custom_fields has the value: lower case letters, digits and _, unique for the entity. When it is changed, all records follow.';


--
-- Name: COLUMN custom_fields.label; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.label IS 'For people.';


--
-- Name: COLUMN custom_fields.type; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.type IS 'text (one line, at most 500 characters), long_text (at most 20000), number (at most 15 digits), boolean, date, datetime, select, multi_select, url, email or reference. It cannot be changed.';


--
-- Name: COLUMN custom_fields.required; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.required IS 'Whether a new record needs a value, and none can be removed. Records from before may be without.';


--
-- Name: COLUMN custom_fields.is_unique; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.is_unique IS 'Whether no two records have the same value. Not for long_text, boolean and multi_select.';


--
-- Name: COLUMN custom_fields.default_value; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.default_value IS 'What a new record gets that has no value.';


--
-- Name: COLUMN custom_fields.options; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.options IS 'Of select and multi_select: [{"value": "gold", "label": "Gold"}], at most 200. One that records have is not removed: see crm.rename_custom_field_option.';


--
-- Name: COLUMN custom_fields.reference_entity; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.reference_entity IS 'Of reference: the table whose records it points to. It cannot be changed.';


--
-- Name: COLUMN custom_fields.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.description IS 'For people: what to enter.';


--
-- Name: COLUMN custom_fields."position"; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields."position" IS 'In which order to show the fields; at most 1000000.';


--
-- Name: COLUMN custom_fields.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN custom_fields.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN custom_fields.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN custom_fields.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN custom_fields.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.custom_fields.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: daily_metrics; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.daily_metrics (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    day date NOT NULL,
    new_accounts integer DEFAULT 0 NOT NULL,
    new_contacts integer DEFAULT 0 NOT NULL,
    new_leads integer DEFAULT 0 NOT NULL,
    converted_leads integer DEFAULT 0 NOT NULL,
    new_deals integer DEFAULT 0 NOT NULL,
    won_deals integer DEFAULT 0 NOT NULL,
    lost_deals integer DEFAULT 0 NOT NULL,
    won_amount numeric(19,4) DEFAULT 0 NOT NULL,
    activities integer DEFAULT 0 NOT NULL,
    completed_tasks integer DEFAULT 0 NOT NULL,
    new_tickets integer DEFAULT 0 NOT NULL,
    solved_tickets integer DEFAULT 0 NOT NULL,
    invoiced_amount numeric(19,4) DEFAULT 0 NOT NULL,
    paid_amount numeric(19,4) DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT daily_metrics_activities_check CHECK ((activities >= 0)),
    CONSTRAINT daily_metrics_completed_tasks_check CHECK ((completed_tasks >= 0)),
    CONSTRAINT daily_metrics_converted_leads_check CHECK ((converted_leads >= 0)),
    CONSTRAINT daily_metrics_day_check CHECK (((day >= '1900-01-01'::date) AND (day <= '2200-01-01'::date))),
    CONSTRAINT daily_metrics_invoiced_amount_check CHECK (((invoiced_amount >= (0)::numeric) AND (invoiced_amount <> 'NaN'::numeric))),
    CONSTRAINT daily_metrics_lost_deals_check CHECK ((lost_deals >= 0)),
    CONSTRAINT daily_metrics_new_accounts_check CHECK ((new_accounts >= 0)),
    CONSTRAINT daily_metrics_new_contacts_check CHECK ((new_contacts >= 0)),
    CONSTRAINT daily_metrics_new_deals_check CHECK ((new_deals >= 0)),
    CONSTRAINT daily_metrics_new_leads_check CHECK ((new_leads >= 0)),
    CONSTRAINT daily_metrics_new_tickets_check CHECK ((new_tickets >= 0)),
    CONSTRAINT daily_metrics_paid_amount_check CHECK (((paid_amount >= (0)::numeric) AND (paid_amount <> 'NaN'::numeric))),
    CONSTRAINT daily_metrics_solved_tickets_check CHECK ((solved_tickets >= 0)),
    CONSTRAINT daily_metrics_won_amount_check CHECK (((won_amount >= (0)::numeric) AND (won_amount <> 'NaN'::numeric))),
    CONSTRAINT daily_metrics_won_deals_check CHECK ((won_deals >= 0))
);

ALTER TABLE ONLY crm.daily_metrics FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.daily_metrics OWNER TO crm_owner;

--
-- Name: TABLE daily_metrics; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.daily_metrics IS 'The organization''s figures, day by day. Kept by the database; nobody writes them.';


--
-- Name: COLUMN daily_metrics.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN daily_metrics.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN daily_metrics.day; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.day IS 'YYYY-MM-DD, in the time zone of the organization.';


--
-- Name: COLUMN daily_metrics.new_accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.new_accounts IS 'Accounts made on that day.';


--
-- Name: COLUMN daily_metrics.new_contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.new_contacts IS 'Contacts made on that day.';


--
-- Name: COLUMN daily_metrics.new_leads; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.new_leads IS 'Leads made on that day.';


--
-- Name: COLUMN daily_metrics.converted_leads; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.converted_leads IS 'Leads converted on that day.';


--
-- Name: COLUMN daily_metrics.new_deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.new_deals IS 'Deals made on that day.';


--
-- Name: COLUMN daily_metrics.won_deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.won_deals IS 'Deals won on that day.';


--
-- Name: COLUMN daily_metrics.lost_deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.lost_deals IS 'Deals lost on that day.';


--
-- Name: COLUMN daily_metrics.won_amount; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.won_amount IS 'What the deals won on that day amount to. In the currency of the organization; amounts in others are left out.';


--
-- Name: COLUMN daily_metrics.activities; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.activities IS 'Activities that happened on that day.';


--
-- Name: COLUMN daily_metrics.completed_tasks; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.completed_tasks IS 'Tasks completed on that day.';


--
-- Name: COLUMN daily_metrics.new_tickets; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.new_tickets IS 'Tickets made on that day.';


--
-- Name: COLUMN daily_metrics.solved_tickets; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.solved_tickets IS 'Tickets solved on that day.';


--
-- Name: COLUMN daily_metrics.invoiced_amount; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.invoiced_amount IS 'What the invoices issued on that day amount to. In the currency of the organization; amounts in others are left out.';


--
-- Name: COLUMN daily_metrics.paid_amount; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.paid_amount IS 'What was paid on that day. In the currency of the organization; amounts in others are left out.';


--
-- Name: COLUMN daily_metrics.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN daily_metrics.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN daily_metrics.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.daily_metrics.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: deal_contacts; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.deal_contacts (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    deal_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    role text,
    owner_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL
);

ALTER TABLE ONLY crm.deal_contacts FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.deal_contacts OWNER TO crm_owner;

--
-- Name: TABLE deal_contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.deal_contacts IS 'Further people who have to do with a deal.';


--
-- Name: COLUMN deal_contacts.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_contacts.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN deal_contacts.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_contacts.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN deal_contacts.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_contacts.deal_id IS 'The deal.';


--
-- Name: COLUMN deal_contacts.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_contacts.contact_id IS 'The person.';


--
-- Name: COLUMN deal_contacts.role; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_contacts.role IS 'decision maker, influencer, technical buyer …';


--
-- Name: COLUMN deal_contacts.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_contacts.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN deal_contacts.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_contacts.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN deal_contacts.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_contacts.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN deal_contacts.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_contacts.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN deal_contacts.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_contacts.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN deal_contacts.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_contacts.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: deal_stage_changes; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.deal_stage_changes (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    deal_id uuid NOT NULL,
    from_stage_id uuid,
    from_stage text,
    to_stage_id uuid NOT NULL,
    to_stage text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by uuid,
    seconds_before bigint,
    owner_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL
);

ALTER TABLE ONLY crm.deal_stage_changes FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.deal_stage_changes OWNER TO crm_owner;

--
-- Name: TABLE deal_stage_changes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.deal_stage_changes IS 'The stages each deal came to, the first included; written by the database.';


--
-- Name: COLUMN deal_stage_changes.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN deal_stage_changes.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN deal_stage_changes.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.deal_id IS 'The deal.';


--
-- Name: COLUMN deal_stage_changes.from_stage_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.from_stage_id IS 'The stage before, which may have been deleted since; null for the first one.';


--
-- Name: COLUMN deal_stage_changes.from_stage; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.from_stage IS 'What the stage before was called then.';


--
-- Name: COLUMN deal_stage_changes.to_stage_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.to_stage_id IS 'The stage it came to, which may have been deleted since.';


--
-- Name: COLUMN deal_stage_changes.to_stage; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.to_stage IS 'What that stage was called then.';


--
-- Name: COLUMN deal_stage_changes.changed_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.changed_at IS 'When it came there.';


--
-- Name: COLUMN deal_stage_changes.changed_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.changed_by IS 'The user who moved it.';


--
-- Name: COLUMN deal_stage_changes.seconds_before; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.seconds_before IS 'How long it had been in the stage before, in seconds.';


--
-- Name: COLUMN deal_stage_changes.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN deal_stage_changes.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN deal_stage_changes.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN deal_stage_changes.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN deal_stage_changes.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN deal_stage_changes.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deal_stage_changes.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: deals; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.deals (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    name text NOT NULL,
    account_id uuid,
    contact_id uuid,
    pipeline_id uuid,
    stage_id uuid,
    status text DEFAULT 'open'::text NOT NULL,
    amount numeric(19,4),
    currency text,
    probability integer,
    weighted_amount numeric(19,4) GENERATED ALWAYS AS (round(((amount * (probability)::numeric) / (100)::numeric), 4)) STORED,
    expected_close_date date,
    closed_at timestamp with time zone,
    lost_reason text,
    source text,
    next_step text,
    "position" numeric(30,15) DEFAULT EXTRACT(epoch FROM clock_timestamp()) NOT NULL,
    stage_changed_at timestamp with time zone,
    description text,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT deals_amount_check CHECK (((amount >= (0)::numeric) AND (amount <> 'NaN'::numeric))),
    CONSTRAINT deals_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT deals_expected_close_date_check CHECK (((expected_close_date >= '1900-01-01'::date) AND (expected_close_date <= '2200-01-01'::date))),
    CONSTRAINT deals_pipeline_id_check CHECK ((pipeline_id IS NOT NULL)),
    CONSTRAINT deals_position_check CHECK (("position" <> 'NaN'::numeric)),
    CONSTRAINT deals_probability_check CHECK (((probability >= 0) AND (probability <= 100))),
    CONSTRAINT deals_stage_id_check CHECK ((stage_id IS NOT NULL)),
    CONSTRAINT deals_status_check CHECK ((status = ANY (ARRAY['open'::text, 'won'::text, 'lost'::text])))
);

ALTER TABLE ONLY crm.deals FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.deals OWNER TO crm_owner;

--
-- Name: TABLE deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.deals IS 'What is being sold, to whom, for how much, and how far it has come.';


--
-- Name: COLUMN deals.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN deals.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN deals.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.name IS 'What it is about.';


--
-- Name: COLUMN deals.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.account_id IS 'The company that would buy.';


--
-- Name: COLUMN deals.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.contact_id IS 'Whom one talks to; further people are deal_contacts.';


--
-- Name: COLUMN deals.pipeline_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.pipeline_id IS 'If it is not named, the stage''s, or the default one. Set to another without a stage, the deal begins that pipeline anew.';


--
-- Name: COLUMN deals.stage_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.stage_id IS 'If it is not named, the first of the pipeline for the status.';


--
-- Name: COLUMN deals.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.status IS 'open, won or lost: the kind of the stage. Set alone, it moves the deal to the pipeline''s first won or lost stage; set back to open, to the open stage it came from. From won to lost, or back, by way of open.';


--
-- Name: COLUMN deals.amount; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.amount IS 'In the currency of the column currency.';


--
-- Name: COLUMN deals.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.currency IS 'ISO 4217; the organization''s, if it is not named.';


--
-- Name: COLUMN deals.probability; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.probability IS 'In percent. In a new stage it is that stage''s, unless the same request sets it; set to null, it is the stage''s again. 100 once won, 0 once lost.';


--
-- Name: COLUMN deals.weighted_amount; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.weighted_amount IS 'amount times probability; kept by the database.';


--
-- Name: COLUMN deals.expected_close_date; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.expected_close_date IS 'YYYY-MM-DD.';


--
-- Name: COLUMN deals.closed_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.closed_at IS 'When it was won or lost; kept by the database.';


--
-- Name: COLUMN deals.lost_reason; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.lost_reason IS 'Why it was lost.';


--
-- Name: COLUMN deals.source; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.source IS 'Where it came from: web, referral, event …';


--
-- Name: COLUMN deals.next_step; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.next_step IS 'What is to be done next.';


--
-- Name: COLUMN deals."position"; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals."position" IS 'The place within a column of a board, ascending; new deals come last. Between two others: any number between theirs.';


--
-- Name: COLUMN deals.stage_changed_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.stage_changed_at IS 'When it came to its stage; kept by the database.';


--
-- Name: COLUMN deals.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.description IS 'Plain text.';


--
-- Name: COLUMN deals.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN deals.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN deals.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN deals.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN deals.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN deals.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN deals.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN deals.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN deals.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.deals.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: estimate_items; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.estimate_items (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    estimate_id uuid NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    description text NOT NULL,
    quantity numeric(19,4) DEFAULT 1 NOT NULL,
    unit text,
    unit_price numeric(19,4) DEFAULT 0 NOT NULL,
    discount_percent numeric(7,4) DEFAULT 0 NOT NULL,
    tax_rate numeric(7,4) DEFAULT 0 NOT NULL,
    discount_amount numeric(19,4) DEFAULT 0 NOT NULL,
    line_total numeric(19,4) DEFAULT 0 NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT estimate_items_discount_percent_check CHECK (((discount_percent >= (0)::numeric) AND (discount_percent <= (100)::numeric))),
    CONSTRAINT estimate_items_quantity_check CHECK (((quantity >= ('-1000000000'::integer)::numeric) AND (quantity <= (1000000000)::numeric))),
    CONSTRAINT estimate_items_tax_rate_check CHECK (((tax_rate >= (0)::numeric) AND (tax_rate <= (100)::numeric))),
    CONSTRAINT estimate_items_unit_price_check CHECK (((unit_price >= ('-1000000000000'::bigint)::numeric) AND (unit_price <= ('1000000000000'::bigint)::numeric)))
);

ALTER TABLE ONLY crm.estimate_items FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.estimate_items OWNER TO crm_owner;

--
-- Name: TABLE estimate_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.estimate_items IS 'The lines of estimates. They are changed while the estimate is a draft.';


--
-- Name: COLUMN estimate_items.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN estimate_items.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN estimate_items.estimate_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.estimate_id IS 'The estimate the line belongs to; it goes with it.';


--
-- Name: COLUMN estimate_items."position"; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items."position" IS 'Where the line stands: order by position and id.';


--
-- Name: COLUMN estimate_items.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.description IS 'What is sold.';


--
-- Name: COLUMN estimate_items.quantity; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.quantity IS 'How much of it, with up to four decimals; negative for what is taken back.';


--
-- Name: COLUMN estimate_items.unit; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.unit IS 'What the quantity counts: h, kg, pieces.';


--
-- Name: COLUMN estimate_items.unit_price; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.unit_price IS 'The price of one unit without tax, in the estimate''s currency, with up to four decimals.';


--
-- Name: COLUMN estimate_items.discount_percent; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.discount_percent IS 'The discount on the line, 0 to 100.';


--
-- Name: COLUMN estimate_items.tax_rate; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.tax_rate IS 'The tax in percent, 0 to 100.';


--
-- Name: COLUMN estimate_items.discount_amount; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.discount_amount IS 'What the discount takes off; kept by the database.';


--
-- Name: COLUMN estimate_items.line_total; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.line_total IS 'quantity × unit_price less the discount, net, rounded half away from zero to the currency''s decimals; kept by the database.';


--
-- Name: COLUMN estimate_items.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN estimate_items.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN estimate_items.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN estimate_items.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN estimate_items.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN estimate_items.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN estimate_items.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimate_items.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: estimates; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.estimates (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    number text,
    title text,
    account_id uuid,
    contact_id uuid,
    deal_id uuid,
    status text DEFAULT 'draft'::text NOT NULL,
    currency text,
    issue_date date,
    valid_until date,
    notes text,
    terms text,
    subtotal numeric(19,4) DEFAULT 0 NOT NULL,
    discount_total numeric(19,4) DEFAULT 0 NOT NULL,
    tax_total numeric(19,4) DEFAULT 0 NOT NULL,
    total numeric(19,4) DEFAULT 0 NOT NULL,
    taxes jsonb DEFAULT '[]'::jsonb NOT NULL,
    sent_at timestamp with time zone,
    accepted_at timestamp with time zone,
    declined_at timestamp with time zone,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT estimates_currency_check CHECK (((currency IS NOT NULL) AND (currency ~ '^[A-Z]{3}$'::text))),
    CONSTRAINT estimates_issue_date_check CHECK (((issue_date >= '1900-01-01'::date) AND (issue_date <= '2200-01-01'::date))),
    CONSTRAINT estimates_number_check CHECK ((number IS NOT NULL)),
    CONSTRAINT estimates_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'sent'::text, 'accepted'::text, 'declined'::text, 'expired'::text]))),
    CONSTRAINT estimates_total_check CHECK (((total = (subtotal + tax_total)) AND ((status = 'draft'::text) OR (total >= (0)::numeric)))),
    CONSTRAINT estimates_valid_until_check CHECK (((valid_until <= '2200-01-01'::date) AND (valid_until >= COALESCE(issue_date, '1900-01-01'::date))))
);

ALTER TABLE ONLY crm.estimates FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.estimates OWNER TO crm_owner;

--
-- Name: TABLE estimates; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.estimates IS 'Offers to customers. Their lines are estimate_items.';


--
-- Name: COLUMN estimates.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN estimates.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN estimates.number; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.number IS 'Given by the database, from the series of number_series; unique within the organization. It never changes.';


--
-- Name: COLUMN estimates.title; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.title IS 'What is offered, in one line.';


--
-- Name: COLUMN estimates.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.account_id IS 'The customer, of the same organization.';


--
-- Name: COLUMN estimates.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.contact_id IS 'Whom it is addressed to.';


--
-- Name: COLUMN estimates.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.deal_id IS 'The deal it belongs to.';


--
-- Name: COLUMN estimates.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.status IS 'draft, sent, accepted, declined or expired. draft → sent; sent → draft, accepted, declined, expired; declined and expired → draft.';


--
-- Name: COLUMN estimates.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.currency IS 'ISO 4217, by default the organization''s. It stays while there are lines.';


--
-- Name: COLUMN estimates.issue_date; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.issue_date IS 'YYYY-MM-DD; by default the day on which it was sent.';


--
-- Name: COLUMN estimates.valid_until; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.valid_until IS 'YYYY-MM-DD.';


--
-- Name: COLUMN estimates.notes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.notes IS 'For the customer.';


--
-- Name: COLUMN estimates.terms; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.terms IS 'Conditions, for the customer.';


--
-- Name: COLUMN estimates.subtotal; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.subtotal IS 'The sum of the lines, net; kept by the database.';


--
-- Name: COLUMN estimates.discount_total; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.discount_total IS 'The sum of the lines'' discounts, which subtotal has not in it; kept by the database.';


--
-- Name: COLUMN estimates.tax_total; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.tax_total IS 'The sum of taxes; kept by the database.';


--
-- Name: COLUMN estimates.total; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.total IS 'subtotal + tax_total; kept by the database.';


--
-- Name: COLUMN estimates.taxes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.taxes IS 'Net and tax by rate: [{"rate": 19, "net": 100.00, "tax": 19.00}]; kept by the database.';


--
-- Name: COLUMN estimates.sent_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.sent_at IS 'When it was sent; kept by the database.';


--
-- Name: COLUMN estimates.accepted_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.accepted_at IS 'When it was accepted; kept by the database.';


--
-- Name: COLUMN estimates.declined_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.declined_at IS 'When it was declined; kept by the database.';


--
-- Name: COLUMN estimates.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN estimates.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN estimates.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN estimates.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN estimates.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN estimates.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN estimates.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN estimates.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN estimates.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.estimates.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: group_members; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.group_members (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    group_id uuid NOT NULL,
    user_id uuid NOT NULL,
    is_lead boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL
);

ALTER TABLE ONLY crm.group_members FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.group_members OWNER TO crm_owner;

--
-- Name: TABLE group_members; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.group_members IS 'Who is in which group.';


--
-- Name: COLUMN group_members.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_members.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN group_members.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_members.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN group_members.group_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_members.group_id IS 'The group somebody is in.';


--
-- Name: COLUMN group_members.user_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_members.user_id IS 'A member of the organization.';


--
-- Name: COLUMN group_members.is_lead; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_members.is_lead IS 'Leads the group. Tells people whom to ask; permits nothing.';


--
-- Name: COLUMN group_members.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_members.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN group_members.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_members.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN group_members.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_members.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN group_members.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_members.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN group_members.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_members.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: group_permissions; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.group_permissions (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    group_id uuid NOT NULL,
    permission text NOT NULL,
    scope text DEFAULT 'all'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT group_permissions_permission_check CHECK ((permission ~ '^([a-z0-9_]{1,63}|\*)\.([a-z0-9_]{1,63}|\*)$'::text)),
    CONSTRAINT group_permissions_scope_check CHECK ((scope = ANY (ARRAY['own'::text, 'team'::text, 'all'::text])))
);

ALTER TABLE ONLY crm.group_permissions FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.group_permissions OWNER TO crm_owner;

--
-- Name: TABLE group_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.group_permissions IS 'What a group''s members may do beyond their roles.';


--
-- Name: COLUMN group_permissions.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_permissions.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN group_permissions.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_permissions.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN group_permissions.group_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_permissions.group_id IS 'The group whose members have the permission.';


--
-- Name: COLUMN group_permissions.permission; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_permissions.permission IS 'resource.action as in /permissions; * stands for any (contacts.*, *.read, *.*).';


--
-- Name: COLUMN group_permissions.scope; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_permissions.scope IS 'own: rows one owns; team: rows owned by somebody in a group of one''s; all. Of several the widest counts.';


--
-- Name: COLUMN group_permissions.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_permissions.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN group_permissions.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_permissions.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN group_permissions.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_permissions.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN group_permissions.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_permissions.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN group_permissions.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_permissions.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: group_roles; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.group_roles (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    group_id uuid NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL
);

ALTER TABLE ONLY crm.group_roles FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.group_roles OWNER TO crm_owner;

--
-- Name: TABLE group_roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.group_roles IS 'Roles that a group''s members have besides their own.';


--
-- Name: COLUMN group_roles.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_roles.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN group_roles.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_roles.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN group_roles.group_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_roles.group_id IS 'The group whose members have the role.';


--
-- Name: COLUMN group_roles.role; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_roles.role IS 'The name of a role.';


--
-- Name: COLUMN group_roles.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_roles.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN group_roles.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_roles.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN group_roles.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_roles.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN group_roles.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_roles.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN group_roles.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.group_roles.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: groups; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.groups (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    name text NOT NULL,
    description text,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL
);

ALTER TABLE ONLY crm.groups FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.groups OWNER TO crm_owner;

--
-- Name: TABLE groups; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.groups IS 'People who work together: a team. Its members see each other''s rows where their permissions have scope team.';


--
-- Name: COLUMN groups.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.groups.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN groups.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.groups.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN groups.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.groups.name IS 'Unique within the organization.';


--
-- Name: COLUMN groups.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.groups.description IS 'What the group is for.';


--
-- Name: COLUMN groups.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.groups.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN groups.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.groups.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN groups.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.groups.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN groups.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.groups.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN groups.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.groups.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN groups.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.groups.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: invoice_items; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.invoice_items (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    invoice_id uuid NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    description text NOT NULL,
    quantity numeric(19,4) DEFAULT 1 NOT NULL,
    unit text,
    unit_price numeric(19,4) DEFAULT 0 NOT NULL,
    discount_percent numeric(7,4) DEFAULT 0 NOT NULL,
    tax_rate numeric(7,4) DEFAULT 0 NOT NULL,
    discount_amount numeric(19,4) DEFAULT 0 NOT NULL,
    line_total numeric(19,4) DEFAULT 0 NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT invoice_items_discount_percent_check CHECK (((discount_percent >= (0)::numeric) AND (discount_percent <= (100)::numeric))),
    CONSTRAINT invoice_items_quantity_check CHECK (((quantity >= ('-1000000000'::integer)::numeric) AND (quantity <= (1000000000)::numeric))),
    CONSTRAINT invoice_items_tax_rate_check CHECK (((tax_rate >= (0)::numeric) AND (tax_rate <= (100)::numeric))),
    CONSTRAINT invoice_items_unit_price_check CHECK (((unit_price >= ('-1000000000000'::bigint)::numeric) AND (unit_price <= ('1000000000000'::bigint)::numeric)))
);

ALTER TABLE ONLY crm.invoice_items FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.invoice_items OWNER TO crm_owner;

--
-- Name: TABLE invoice_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.invoice_items IS 'The lines of invoices. They are changed while the invoice is a draft.';


--
-- Name: COLUMN invoice_items.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN invoice_items.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN invoice_items.invoice_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.invoice_id IS 'The invoice the line belongs to; it goes with it.';


--
-- Name: COLUMN invoice_items."position"; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items."position" IS 'Where the line stands: order by position and id.';


--
-- Name: COLUMN invoice_items.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.description IS 'What is sold.';


--
-- Name: COLUMN invoice_items.quantity; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.quantity IS 'How much of it, with up to four decimals; negative for what is taken back.';


--
-- Name: COLUMN invoice_items.unit; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.unit IS 'What the quantity counts: h, kg, pieces.';


--
-- Name: COLUMN invoice_items.unit_price; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.unit_price IS 'The price of one unit without tax, in the invoice''s currency, with up to four decimals.';


--
-- Name: COLUMN invoice_items.discount_percent; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.discount_percent IS 'The discount on the line, 0 to 100.';


--
-- Name: COLUMN invoice_items.tax_rate; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.tax_rate IS 'The tax in percent, 0 to 100.';


--
-- Name: COLUMN invoice_items.discount_amount; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.discount_amount IS 'What the discount takes off; kept by the database.';


--
-- Name: COLUMN invoice_items.line_total; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.line_total IS 'quantity × unit_price less the discount, net, rounded half away from zero to the currency''s decimals; kept by the database.';


--
-- Name: COLUMN invoice_items.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN invoice_items.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN invoice_items.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN invoice_items.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN invoice_items.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN invoice_items.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN invoice_items.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoice_items.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: invoices; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.invoices (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    number text,
    title text,
    account_id uuid,
    contact_id uuid,
    deal_id uuid,
    estimate_id uuid,
    project_id uuid,
    job_id uuid,
    status text DEFAULT 'draft'::text NOT NULL,
    currency text,
    issue_date date,
    due_date date,
    purchase_order text,
    billing_name text,
    billing_street text,
    billing_city text,
    billing_state text,
    billing_postal_code text,
    billing_country text,
    notes text,
    terms text,
    subtotal numeric(19,4) DEFAULT 0 NOT NULL,
    discount_total numeric(19,4) DEFAULT 0 NOT NULL,
    tax_total numeric(19,4) DEFAULT 0 NOT NULL,
    total numeric(19,4) DEFAULT 0 NOT NULL,
    taxes jsonb DEFAULT '[]'::jsonb NOT NULL,
    amount_paid numeric(19,4) DEFAULT 0 NOT NULL,
    balance_due numeric(19,4) DEFAULT 0 NOT NULL,
    sent_at timestamp with time zone,
    paid_at timestamp with time zone,
    voided_at timestamp with time zone,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT invoices_amount_paid_check CHECK (((amount_paid >= (0)::numeric) AND ((status <> ALL (ARRAY['draft'::text, 'void'::text])) OR (amount_paid = (0)::numeric)))),
    CONSTRAINT invoices_balance_due_check CHECK ((balance_due = (total - amount_paid))),
    CONSTRAINT invoices_billing_country_check CHECK ((billing_country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT invoices_billing_name_check CHECK (((status = 'draft'::text) OR (account_id IS NOT NULL) OR (billing_name IS NOT NULL))),
    CONSTRAINT invoices_currency_check CHECK (((currency IS NOT NULL) AND (currency ~ '^[A-Z]{3}$'::text))),
    CONSTRAINT invoices_due_date_check CHECK (((due_date <= '2200-01-01'::date) AND (due_date >= COALESCE(issue_date, '1900-01-01'::date)))),
    CONSTRAINT invoices_issue_date_check CHECK ((((status = 'draft'::text) OR (issue_date IS NOT NULL)) AND ((issue_date >= '1900-01-01'::date) AND (issue_date <= '2200-01-01'::date)))),
    CONSTRAINT invoices_number_check CHECK (((number IS NULL) = (status = 'draft'::text))),
    CONSTRAINT invoices_overdue_has_due_date_check CHECK (((status <> 'overdue'::text) OR (due_date IS NOT NULL))),
    CONSTRAINT invoices_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'sent'::text, 'partially_paid'::text, 'paid'::text, 'overdue'::text, 'void'::text]))),
    CONSTRAINT invoices_total_check CHECK (((total = (subtotal + tax_total)) AND ((status = 'draft'::text) OR (total >= (0)::numeric))))
);

ALTER TABLE ONLY crm.invoices FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.invoices OWNER TO crm_owner;

--
-- Name: TABLE invoices; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.invoices IS 'What customers owe. Their lines are invoice_items, what was paid is in payments.';


--
-- Name: COLUMN invoices.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN invoices.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN invoices.number; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.number IS 'Given by the database when the invoice leaves draft, without gaps, from the series of number_series; unique within the organization. It never changes.';


--
-- Name: COLUMN invoices.title; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.title IS 'What it is for, in one line.';


--
-- Name: COLUMN invoices.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.account_id IS 'The customer, of the same organization, who cannot be deleted while there is the invoice.';


--
-- Name: COLUMN invoices.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.contact_id IS 'Whom it is addressed to.';


--
-- Name: COLUMN invoices.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.deal_id IS 'The deal it came from.';


--
-- Name: COLUMN invoices.estimate_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.estimate_id IS 'The estimate it came from.';


--
-- Name: COLUMN invoices.project_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.project_id IS 'The project it is for.';


--
-- Name: COLUMN invoices.job_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.job_id IS 'The job it is for.';


--
-- Name: COLUMN invoices.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.status IS 'draft, sent, partially_paid, paid, overdue or void. draft → sent; sent → overdue, void; partially_paid → overdue; overdue → sent, void; partially_paid and paid come from payments.';


--
-- Name: COLUMN invoices.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.currency IS 'ISO 4217, by default the organization''s. It stays while there are lines.';


--
-- Name: COLUMN invoices.issue_date; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.issue_date IS 'YYYY-MM-DD; by default the day on which it leaves draft.';


--
-- Name: COLUMN invoices.due_date; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.due_date IS 'YYYY-MM-DD; may be moved later, too.';


--
-- Name: COLUMN invoices.purchase_order; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.purchase_order IS 'The customer''s order number.';


--
-- Name: COLUMN invoices.billing_name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.billing_name IS 'To whom it is made out. What is empty when it leaves draft is taken from the account, once.';


--
-- Name: COLUMN invoices.billing_street; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.billing_street IS 'The address it is made out to; when all of it is empty, the account''s is taken when it leaves draft.';


--
-- Name: COLUMN invoices.billing_city; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.billing_city IS 'City of that address.';


--
-- Name: COLUMN invoices.billing_state; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.billing_state IS 'State or province of that address.';


--
-- Name: COLUMN invoices.billing_postal_code; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.billing_postal_code IS 'Postal code of that address.';


--
-- Name: COLUMN invoices.billing_country; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.billing_country IS 'ISO 3166-1 alpha-2.';


--
-- Name: COLUMN invoices.notes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.notes IS 'For the customer.';


--
-- Name: COLUMN invoices.terms; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.terms IS 'Conditions of payment, for the customer.';


--
-- Name: COLUMN invoices.subtotal; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.subtotal IS 'The sum of the lines, net; kept by the database.';


--
-- Name: COLUMN invoices.discount_total; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.discount_total IS 'The sum of the lines'' discounts, which subtotal has not in it; kept by the database.';


--
-- Name: COLUMN invoices.tax_total; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.tax_total IS 'The sum of taxes; kept by the database.';


--
-- Name: COLUMN invoices.total; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.total IS 'subtotal + tax_total; kept by the database.';


--
-- Name: COLUMN invoices.taxes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.taxes IS 'Net and tax by rate: [{"rate": 19, "net": 100.00, "tax": 19.00}]; kept by the database.';


--
-- Name: COLUMN invoices.amount_paid; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.amount_paid IS 'The sum of its payments; kept by the database.';


--
-- Name: COLUMN invoices.balance_due; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.balance_due IS 'total - amount_paid, negative where too much was paid; kept by the database.';


--
-- Name: COLUMN invoices.sent_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.sent_at IS 'When it left draft; kept by the database.';


--
-- Name: COLUMN invoices.paid_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.paid_at IS 'When it was paid in full; kept by the database.';


--
-- Name: COLUMN invoices.voided_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.voided_at IS 'When it was voided; kept by the database.';


--
-- Name: COLUMN invoices.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN invoices.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN invoices.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN invoices.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN invoices.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN invoices.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN invoices.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN invoices.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN invoices.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.invoices.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: jobs; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.jobs (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    title text NOT NULL,
    description text,
    type text,
    status text DEFAULT 'scheduled'::text NOT NULL,
    priority text DEFAULT 'normal'::text NOT NULL,
    scheduled_start timestamp with time zone,
    scheduled_end timestamp with time zone,
    assignee_id uuid,
    street text,
    city text,
    state text,
    postal_code text,
    country text,
    price numeric(19,4),
    currency text,
    completed_at timestamp with time zone,
    project_id uuid,
    account_id uuid,
    contact_id uuid,
    deal_id uuid,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT jobs_country_check CHECK ((country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT jobs_ends_after_start_check CHECK ((scheduled_end > scheduled_start)),
    CONSTRAINT jobs_price_check CHECK (((price >= (0)::numeric) AND (price <> 'NaN'::numeric))),
    CONSTRAINT jobs_priority_check CHECK ((priority = ANY (ARRAY['low'::text, 'normal'::text, 'high'::text, 'urgent'::text]))),
    CONSTRAINT jobs_scheduled_end_check CHECK (isfinite(scheduled_end)),
    CONSTRAINT jobs_scheduled_start_check CHECK (isfinite(scheduled_start)),
    CONSTRAINT jobs_status_check CHECK ((status = ANY (ARRAY['scheduled'::text, 'in_progress'::text, 'on_hold'::text, 'completed'::text, 'cancelled'::text])))
);

ALTER TABLE ONLY crm.jobs FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.jobs OWNER TO crm_owner;

--
-- Name: TABLE jobs; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.jobs IS 'Jobs: work at a customer''s place, with a time and somebody who goes there.';


--
-- Name: COLUMN jobs.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN jobs.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN jobs.title; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.title IS 'Of at most 200 characters.';


--
-- Name: COLUMN jobs.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.description IS 'Rich text (HTML, sanitised).';


--
-- Name: COLUMN jobs.type; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.type IS 'What kind of work: installation, repair, inspection …';


--
-- Name: COLUMN jobs.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.status IS 'scheduled, in_progress, on_hold, completed or cancelled. From scheduled: in_progress, on_hold, completed, cancelled; from in_progress: scheduled, on_hold, completed, cancelled; from on_hold: scheduled, in_progress, completed, cancelled; from completed: in_progress; from cancelled: scheduled. Any other step is refused (23514, HTTP 422).';


--
-- Name: COLUMN jobs.priority; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.priority IS 'low, normal, high or urgent.';


--
-- Name: COLUMN jobs.scheduled_start; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.scheduled_start IS 'When the work is planned to begin.';


--
-- Name: COLUMN jobs.scheduled_end; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.scheduled_end IS 'When it is planned to end, after scheduled_start.';


--
-- Name: COLUMN jobs.assignee_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.assignee_id IS 'Who does it: a member of the organization, who becomes the owner. A new owner of an assigned job becomes its assignee.';


--
-- Name: COLUMN jobs.street; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.street IS 'Where the work is done.';


--
-- Name: COLUMN jobs.city; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.city IS 'Where the work is done.';


--
-- Name: COLUMN jobs.state; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.state IS 'Where the work is done.';


--
-- Name: COLUMN jobs.postal_code; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.postal_code IS 'Where the work is done.';


--
-- Name: COLUMN jobs.country; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.country IS 'ISO 3166-1 alpha-2.';


--
-- Name: COLUMN jobs.price; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.price IS 'What it costs the customer, in the currency of the column currency.';


--
-- Name: COLUMN jobs.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.currency IS 'ISO 4217.';


--
-- Name: COLUMN jobs.completed_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.completed_at IS 'Since when the job is completed; kept by the database.';


--
-- Name: COLUMN jobs.project_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.project_id IS 'The project it belongs to, of the same organization.';


--
-- Name: COLUMN jobs.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.account_id IS 'The customer, of the same organization.';


--
-- Name: COLUMN jobs.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.contact_id IS 'The customer''s contact, of the same organization.';


--
-- Name: COLUMN jobs.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.deal_id IS 'The deal that led to it, of the same organization.';


--
-- Name: COLUMN jobs.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN jobs.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN jobs.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN jobs.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN jobs.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN jobs.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN jobs.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN jobs.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN jobs.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.jobs.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: leads; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.leads (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    salutation text,
    first_name text,
    last_name text,
    company text,
    title text,
    email text,
    phone text,
    phone_normalized text,
    website text,
    industry text,
    employees integer,
    source text,
    status text DEFAULT 'new'::text NOT NULL,
    rating text,
    score integer,
    estimated_value numeric(19,4),
    currency text,
    campaign text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    do_not_call boolean DEFAULT false NOT NULL,
    do_not_email boolean DEFAULT false NOT NULL,
    linkedin_url text,
    street text,
    city text,
    state text,
    postal_code text,
    country text,
    lost_reason text,
    converted_at timestamp with time zone,
    converted_account_id uuid,
    converted_contact_id uuid,
    converted_deal_id uuid,
    description text,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT leads_country_check CHECK ((country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT leads_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT leads_employees_check CHECK (((employees >= 0) AND (employees <= 100000000))),
    CONSTRAINT leads_estimated_value_check CHECK (((estimated_value >= (0)::numeric) AND (estimated_value <> 'NaN'::numeric))),
    CONSTRAINT leads_last_name_or_company_check CHECK (((last_name IS NOT NULL) OR (company IS NOT NULL))),
    CONSTRAINT leads_rating_check CHECK ((rating = ANY (ARRAY['hot'::text, 'warm'::text, 'cold'::text]))),
    CONSTRAINT leads_score_check CHECK (((score >= 0) AND (score <= 100))),
    CONSTRAINT leads_status_check CHECK ((status = ANY (ARRAY['new'::text, 'working'::text, 'qualified'::text, 'converted'::text, 'recycled'::text, 'lost'::text])))
);

ALTER TABLE ONLY crm.leads FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.leads OWNER TO crm_owner;

--
-- Name: TABLE leads; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.leads IS 'People and companies who may become customers, until they are converted, or lost.';


--
-- Name: COLUMN leads.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN leads.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN leads.salutation; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.salutation IS 'Ms, Mr, Dr …';


--
-- Name: COLUMN leads.first_name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.first_name IS 'Given names.';


--
-- Name: COLUMN leads.last_name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.last_name IS 'Family name. A lead has this or a company.';


--
-- Name: COLUMN leads.company; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.company IS 'The company''s name. A lead has this or a last name.';


--
-- Name: COLUMN leads.title; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.title IS 'Job title.';


--
-- Name: COLUMN leads.email; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.email IS 'Stored trimmed and in lower case: filter with the lower-case address. Several leads may have the same.';


--
-- Name: COLUMN leads.phone; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.phone IS 'As given.';


--
-- Name: COLUMN leads.phone_normalized; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.phone_normalized IS 'The phone number in E.164 form (+4989123456), kept by the database; empty when it is no valid number.';


--
-- Name: COLUMN leads.website; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.website IS 'https://…';


--
-- Name: COLUMN leads.industry; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.industry IS 'Free text.';


--
-- Name: COLUMN leads.employees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.employees IS 'How many people work at the company.';


--
-- Name: COLUMN leads.source; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.source IS 'Where the lead came from: web, referral, event …';


--
-- Name: COLUMN leads.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.status IS 'new, working, qualified, converted, recycled (to be nurtured) or lost. New leads may be in any but converted, which is final.';


--
-- Name: COLUMN leads.rating; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.rating IS 'hot, warm or cold.';


--
-- Name: COLUMN leads.score; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.score IS '0 to 100.';


--
-- Name: COLUMN leads.estimated_value; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.estimated_value IS 'What a deal might bring, in the currency of the column currency.';


--
-- Name: COLUMN leads.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.currency IS 'ISO 4217.';


--
-- Name: COLUMN leads.campaign; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.campaign IS 'The campaign that won the lead.';


--
-- Name: COLUMN leads.utm_source; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.utm_source IS 'utm_source of the link they came by.';


--
-- Name: COLUMN leads.utm_medium; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.utm_medium IS 'utm_medium of the link they came by.';


--
-- Name: COLUMN leads.utm_campaign; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.utm_campaign IS 'utm_campaign of the link they came by.';


--
-- Name: COLUMN leads.utm_term; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.utm_term IS 'utm_term of the link they came by.';


--
-- Name: COLUMN leads.utm_content; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.utm_content IS 'utm_content of the link they came by.';


--
-- Name: COLUMN leads.do_not_call; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.do_not_call IS 'Does not want to be called.';


--
-- Name: COLUMN leads.do_not_email; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.do_not_email IS 'Does not want e-mail.';


--
-- Name: COLUMN leads.linkedin_url; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.linkedin_url IS 'https://www.linkedin.com/in/…';


--
-- Name: COLUMN leads.street; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.street IS 'Address: street and number, in one or more lines.';


--
-- Name: COLUMN leads.city; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.city IS 'Address: city.';


--
-- Name: COLUMN leads.state; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.state IS 'Address: state, province or region.';


--
-- Name: COLUMN leads.postal_code; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.postal_code IS 'Address: postal code.';


--
-- Name: COLUMN leads.country; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.country IS 'Address: ISO 3166-1 alpha-2.';


--
-- Name: COLUMN leads.lost_reason; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.lost_reason IS 'Why it was lost.';


--
-- Name: COLUMN leads.converted_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.converted_at IS 'When it was converted; kept by the database.';


--
-- Name: COLUMN leads.converted_account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.converted_account_id IS 'The account it became.';


--
-- Name: COLUMN leads.converted_contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.converted_contact_id IS 'The contact it became.';


--
-- Name: COLUMN leads.converted_deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.converted_deal_id IS 'The deal it became.';


--
-- Name: COLUMN leads.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.description IS 'Plain text.';


--
-- Name: COLUMN leads.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN leads.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN leads.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN leads.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN leads.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN leads.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN leads.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN leads.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN leads.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.leads.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: memberships; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.memberships (
    org_id uuid NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    user_id uuid NOT NULL,
    role text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT memberships_ended_has_time_check CHECK (((status = 'ended'::text) = (ended_at IS NOT NULL))),
    CONSTRAINT memberships_status_check CHECK ((status = ANY (ARRAY['active'::text, 'ended'::text])))
);

ALTER TABLE ONLY crm.memberships FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.memberships OWNER TO crm_owner;

--
-- Name: TABLE memberships; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.memberships IS 'The members of an organization and their roles.';


--
-- Name: COLUMN memberships.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.memberships.org_id IS 'The organization the user is a member of.';


--
-- Name: COLUMN memberships.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.memberships.id IS 'UUID version 7, made by the database.';


--
-- Name: COLUMN memberships.user_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.memberships.user_id IS 'The member.';


--
-- Name: COLUMN memberships.role; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.memberships.role IS 'The name of one of the organization''s roles. What else somebody may do comes from their groups.';


--
-- Name: COLUMN memberships.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.memberships.status IS 'active or ended.';


--
-- Name: COLUMN memberships.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.memberships.created_at IS 'When the user became a member.';


--
-- Name: COLUMN memberships.ended_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.memberships.ended_at IS 'When the membership ended; empty while it lasts.';


--
-- Name: messages; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.messages (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    channel text DEFAULT 'email'::text NOT NULL,
    direction text DEFAULT 'outbound'::text NOT NULL,
    thread_id text,
    from_address text,
    to_addresses text[] DEFAULT '{}'::text[] NOT NULL,
    cc_addresses text[] DEFAULT '{}'::text[] NOT NULL,
    subject text,
    body text,
    body_html text,
    status text DEFAULT 'draft'::text NOT NULL,
    error text,
    sent_at timestamp with time zone,
    received_at timestamp with time zone,
    source_id text,
    in_reply_to text,
    account_id uuid,
    contact_id uuid,
    lead_id uuid,
    deal_id uuid,
    ticket_id uuid,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT messages_channel_check CHECK ((channel = ANY (ARRAY['email'::text, 'sms'::text, 'whatsapp'::text, 'chat'::text, 'social'::text, 'phone'::text, 'other'::text]))),
    CONSTRAINT messages_direction_check CHECK ((direction = ANY (ARRAY['inbound'::text, 'outbound'::text]))),
    CONSTRAINT messages_received_at_check CHECK (isfinite(received_at)),
    CONSTRAINT messages_sent_at_check CHECK (isfinite(sent_at)),
    CONSTRAINT messages_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'queued'::text, 'sent'::text, 'delivered'::text, 'read'::text, 'failed'::text, 'received'::text]))),
    CONSTRAINT messages_status_of_direction_check CHECK (
CASE direction
    WHEN 'inbound'::text THEN (status = ANY (ARRAY['received'::text, 'read'::text]))
    ELSE (status <> 'received'::text)
END)
);

ALTER TABLE ONLY crm.messages FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.messages OWNER TO crm_owner;

--
-- Name: TABLE messages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.messages IS 'Messages: what was written to and by customers, on any channel.';


--
-- Name: COLUMN messages.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN messages.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN messages.channel; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.channel IS 'email, sms, whatsapp, chat, social, phone or other.';


--
-- Name: COLUMN messages.direction; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.direction IS 'inbound or outbound.';


--
-- Name: COLUMN messages.thread_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.thread_id IS 'What the channel calls the conversation.';


--
-- Name: COLUMN messages.from_address; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.from_address IS 'Who wrote it: an e-mail address, a phone number, a handle.';


--
-- Name: COLUMN messages.to_addresses; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.to_addresses IS 'To whom: at most 100.';


--
-- Name: COLUMN messages.cc_addresses; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.cc_addresses IS 'Who got a copy: at most 100.';


--
-- Name: COLUMN messages.subject; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.subject IS 'Of at most 1000 characters.';


--
-- Name: COLUMN messages.body; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.body IS 'Plain text, as given.';


--
-- Name: COLUMN messages.body_html; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.body_html IS 'Rich text (HTML, sanitised).';


--
-- Name: COLUMN messages.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.status IS 'Of an inbound message: received, read. Of an outbound one: draft, queued, sent, delivered, read, failed. From draft: queued, sent; from queued: draft, sent, failed; from sent: delivered, read, failed; from delivered: read, failed; from failed: draft, queued; from received: read. Any other step is refused (23514, HTTP 422).';


--
-- Name: COLUMN messages.error; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.error IS 'Why it failed.';


--
-- Name: COLUMN messages.sent_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.sent_at IS 'When it was sent, as the channel tells.';


--
-- Name: COLUMN messages.received_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.received_at IS 'When it was received, as the channel tells.';


--
-- Name: COLUMN messages.source_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.source_id IS 'What the channel calls the message (the Message-ID of an e-mail): unique per channel within the organization, so that a message is stored once however often it is delivered.';


--
-- Name: COLUMN messages.in_reply_to; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.in_reply_to IS 'The source_id of the message that this one answers.';


--
-- Name: COLUMN messages.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.account_id IS 'About an account of the same organization.';


--
-- Name: COLUMN messages.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.contact_id IS 'About a contact of the same organization.';


--
-- Name: COLUMN messages.lead_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.lead_id IS 'About a lead of the same organization.';


--
-- Name: COLUMN messages.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.deal_id IS 'About a deal of the same organization.';


--
-- Name: COLUMN messages.ticket_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.ticket_id IS 'About a ticket of the same organization.';


--
-- Name: COLUMN messages.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN messages.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN messages.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN messages.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN messages.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN messages.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN messages.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN messages.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN messages.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.messages.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: notifications; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.notifications (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL,
    title text NOT NULL,
    body text,
    entity text,
    record_id uuid,
    read_at timestamp with time zone,
    owner_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT notifications_names_entity_check CHECK (((record_id IS NULL) OR (entity IS NOT NULL))),
    CONSTRAINT notifications_read_at_check CHECK (isfinite(read_at))
);

ALTER TABLE ONLY crm.notifications FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.notifications OWNER TO crm_owner;

--
-- Name: TABLE notifications; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.notifications IS 'What somebody should know: everybody has their own.';


--
-- Name: COLUMN notifications.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN notifications.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN notifications.user_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.user_id IS 'Whom it is for: a member of the organization, who becomes the owner.';


--
-- Name: COLUMN notifications.kind; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.kind IS 'What it is: task_due, mention … Lower case letters, digits and _.';


--
-- Name: COLUMN notifications.title; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.title IS 'Of at most 200 characters.';


--
-- Name: COLUMN notifications.body; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.body IS 'Plain text.';


--
-- Name: COLUMN notifications.entity; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.entity IS 'What the record it is about is: deals, tickets …';


--
-- Name: COLUMN notifications.record_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.record_id IS 'The id of the record it is about. It may be gone since.';


--
-- Name: COLUMN notifications.read_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.read_at IS 'When it was read; empty as long as it was not.';


--
-- Name: COLUMN notifications.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN notifications.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN notifications.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN notifications.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN notifications.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN notifications.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.notifications.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: number_series; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.number_series (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    kind text NOT NULL,
    prefix text,
    padding integer DEFAULT 4 NOT NULL,
    first_number bigint DEFAULT 1 NOT NULL,
    last_number bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT number_series_first_number_check CHECK (((first_number >= 1) AND (first_number <= '1000000000000'::bigint))),
    CONSTRAINT number_series_kind_check CHECK ((kind = ANY (ARRAY['invoice'::text, 'estimate'::text, 'ticket'::text]))),
    CONSTRAINT number_series_last_number_check CHECK ((last_number >= (first_number - 1))),
    CONSTRAINT number_series_padding_check CHECK (((padding >= 1) AND (padding <= 12))),
    CONSTRAINT number_series_prefix_check CHECK ((prefix !~ '[0-9]$'::text))
);

ALTER TABLE ONLY crm.number_series FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.number_series OWNER TO crm_owner;

--
-- Name: TABLE number_series; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.number_series IS 'How invoices, estimates and tickets are numbered: one row of each kind.';


--
-- Name: COLUMN number_series.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN number_series.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN number_series.kind; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.kind IS 'invoice, estimate or ticket. It cannot be changed.';


--
-- Name: COLUMN number_series.prefix; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.prefix IS 'What stands before the number, like INV- or 2026/; it does not end with a digit. A change counts for the numbers given from then on.';


--
-- Name: COLUMN number_series.padding; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.padding IS 'How many digits a number has at least, with zeros in front: 1 to 12.';


--
-- Name: COLUMN number_series.first_number; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.first_number IS 'The first number of the series; kept by the database, set with set_next_number before it is given.';


--
-- Name: COLUMN number_series.last_number; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.last_number IS 'The number given last, first_number - 1 before there was one; kept by the database.';


--
-- Name: COLUMN number_series.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN number_series.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN number_series.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN number_series.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN number_series.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.number_series.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: opportunities; Type: VIEW; Schema: crm; Owner: crm_owner
--

CREATE VIEW crm.opportunities WITH (security_invoker='on') AS
 SELECT deals.org_id,
    deals.id,
    deals.name,
    deals.account_id,
    deals.contact_id,
    deals.pipeline_id,
    deals.stage_id,
    deals.status,
    deals.amount,
    deals.currency,
    deals.probability,
    deals.weighted_amount,
    deals.expected_close_date,
    deals.closed_at,
    deals.lost_reason,
    deals.source,
    deals.next_step,
    deals."position",
    deals.stage_changed_at,
    deals.description,
    deals.tags,
    deals.custom_fields,
    deals.owner_id,
    deals.external_id,
    deals.created_at,
    deals.created_by,
    deals.updated_at,
    deals.updated_by,
    deals.version
   FROM crm.deals;


ALTER TABLE crm.opportunities OWNER TO crm_owner;

--
-- Name: VIEW opportunities; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON VIEW crm.opportunities IS 'The deals under another name: what is written here is written there, by the same rules and permissions.';


--
-- Name: COLUMN opportunities.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN opportunities.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN opportunities.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.name IS 'What it is about.';


--
-- Name: COLUMN opportunities.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.account_id IS 'The company that would buy.';


--
-- Name: COLUMN opportunities.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.contact_id IS 'Whom one talks to; further people are deal_contacts.';


--
-- Name: COLUMN opportunities.pipeline_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.pipeline_id IS 'If it is not named, the stage''s, or the default one. Set to another without a stage, the deal begins that pipeline anew.';


--
-- Name: COLUMN opportunities.stage_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.stage_id IS 'If it is not named, the first of the pipeline for the status.';


--
-- Name: COLUMN opportunities.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.status IS 'open, won or lost: the kind of the stage. Set alone, it moves the deal to the pipeline''s first won or lost stage; set back to open, to the open stage it came from. From won to lost, or back, by way of open.';


--
-- Name: COLUMN opportunities.amount; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.amount IS 'In the currency of the column currency.';


--
-- Name: COLUMN opportunities.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.currency IS 'ISO 4217; the organization''s, if it is not named.';


--
-- Name: COLUMN opportunities.probability; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.probability IS 'In percent. In a new stage it is that stage''s, unless the same request sets it; set to null, it is the stage''s again. 100 once won, 0 once lost.';


--
-- Name: COLUMN opportunities.weighted_amount; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.weighted_amount IS 'amount times probability; kept by the database.';


--
-- Name: COLUMN opportunities.expected_close_date; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.expected_close_date IS 'YYYY-MM-DD.';


--
-- Name: COLUMN opportunities.closed_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.closed_at IS 'When it was won or lost; kept by the database.';


--
-- Name: COLUMN opportunities.lost_reason; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.lost_reason IS 'Why it was lost.';


--
-- Name: COLUMN opportunities.source; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.source IS 'Where it came from: web, referral, event …';


--
-- Name: COLUMN opportunities.next_step; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.next_step IS 'What is to be done next.';


--
-- Name: COLUMN opportunities."position"; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities."position" IS 'The place within a column of a board, ascending; new deals come last. Between two others: any number between theirs.';


--
-- Name: COLUMN opportunities.stage_changed_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.stage_changed_at IS 'When it came to its stage; kept by the database.';


--
-- Name: COLUMN opportunities.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.description IS 'Plain text.';


--
-- Name: COLUMN opportunities.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN opportunities.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN opportunities.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN opportunities.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN opportunities.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN opportunities.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN opportunities.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN opportunities.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN opportunities.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.opportunities.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: organizations; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.organizations (
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    plan text DEFAULT 'free'::text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    status_reason text,
    status_changed_at timestamp with time zone,
    country text,
    currency text DEFAULT 'USD'::text NOT NULL,
    time_zone text DEFAULT 'UTC'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT organizations_country_check CHECK ((country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT organizations_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT organizations_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
    CONSTRAINT organizations_slug_check CHECK (((slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'::text) AND ((char_length(slug) >= 1) AND (char_length(slug) <= 63)))),
    CONSTRAINT organizations_status_check CHECK ((status = ANY (ARRAY['active'::text, 'suspended'::text, 'cancelled'::text]))),
    CONSTRAINT organizations_status_reason_check CHECK ((char_length(status_reason) <= 500))
);

ALTER TABLE ONLY crm.organizations FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.organizations OWNER TO crm_owner;

--
-- Name: TABLE organizations; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.organizations IS 'The organizations (tenants) the caller is a member of, also suspended and cancelled ones.';


--
-- Name: COLUMN organizations.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.id IS 'What every other table calls org_id.';


--
-- Name: COLUMN organizations.slug; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.slug IS 'Short name for URLs and headers (X-Org-ID), unique, lower case, made from the name.';


--
-- Name: COLUMN organizations.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.name IS 'The name that people read.';


--
-- Name: COLUMN organizations.plan; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.plan IS 'What it may have, and how much: see plans.';


--
-- Name: COLUMN organizations.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.status IS 'active, suspended or cancelled; only an active organization can be worked in.';


--
-- Name: COLUMN organizations.status_reason; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.status_reason IS 'Why it was suspended or cancelled.';


--
-- Name: COLUMN organizations.status_changed_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.status_changed_at IS 'When it was suspended, cancelled or resumed.';


--
-- Name: COLUMN organizations.country; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.country IS 'ISO 3166-1 alpha-2. Phone numbers without a country code are read as numbers of this country.';


--
-- Name: COLUMN organizations.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.currency IS 'ISO 4217, the default for amounts.';


--
-- Name: COLUMN organizations.time_zone; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.time_zone IS 'IANA time zone name.';


--
-- Name: COLUMN organizations.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.created_at IS 'When the organization was made.';


--
-- Name: COLUMN organizations.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.organizations.updated_at IS 'When it was changed last.';


--
-- Name: payments; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.payments (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    invoice_id uuid NOT NULL,
    account_id uuid,
    amount numeric(19,4) NOT NULL,
    currency text,
    method text DEFAULT 'bank_transfer'::text NOT NULL,
    paid_on date DEFAULT CURRENT_DATE NOT NULL,
    reference text,
    note text,
    idempotency_key text,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT payments_amount_check CHECK (((amount <> (0)::numeric) AND ((amount >= ('-100000000000000'::bigint)::numeric) AND (amount <= ('100000000000000'::bigint)::numeric)))),
    CONSTRAINT payments_currency_check CHECK (((currency IS NOT NULL) AND (currency ~ '^[A-Z]{3}$'::text))),
    CONSTRAINT payments_method_check CHECK ((method = ANY (ARRAY['bank_transfer'::text, 'card'::text, 'cash'::text, 'check'::text, 'direct_debit'::text, 'paypal'::text, 'other'::text]))),
    CONSTRAINT payments_paid_on_check CHECK (((paid_on >= '1900-01-01'::date) AND (paid_on <= '2200-01-01'::date)))
);

ALTER TABLE ONLY crm.payments FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.payments OWNER TO crm_owner;

--
-- Name: TABLE payments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.payments IS 'What was paid for invoices, and paid back.';


--
-- Name: COLUMN payments.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN payments.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN payments.invoice_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.invoice_id IS 'The invoice it pays, which has left draft and is not void.';


--
-- Name: COLUMN payments.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.account_id IS 'The invoice''s account; kept by the database.';


--
-- Name: COLUMN payments.amount; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.amount IS 'In the invoice''s currency, and with no more decimals than that has; negative for what was paid back.';


--
-- Name: COLUMN payments.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.currency IS 'The invoice''s currency; kept by the database.';


--
-- Name: COLUMN payments.method; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.method IS 'bank_transfer, card, cash, check, direct_debit, paypal or other.';


--
-- Name: COLUMN payments.paid_on; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.paid_on IS 'YYYY-MM-DD, by default today.';


--
-- Name: COLUMN payments.reference; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.reference IS 'What the bank or the payment service calls it.';


--
-- Name: COLUMN payments.note; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.note IS 'For one''s own people.';


--
-- Name: COLUMN payments.idempotency_key; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.idempotency_key IS 'A key of the client''s own, unique within the organization: a payment that is sent a second time with it is refused (409), or passed over with Prefer: resolution=ignore-duplicates and on_conflict=org_id,idempotency_key.';


--
-- Name: COLUMN payments.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN payments.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN payments.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN payments.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN payments.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN payments.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN payments.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN payments.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN payments.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.payments.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: permissions; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.permissions (
    resource text NOT NULL,
    action text NOT NULL,
    description text NOT NULL,
    CONSTRAINT permissions_action_check CHECK ((action ~ '^[a-z0-9_]{1,63}$'::text)),
    CONSTRAINT permissions_resource_check CHECK ((resource ~ '^[a-z0-9_]{1,63}$'::text))
);

ALTER TABLE ONLY crm.permissions FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.permissions OWNER TO crm_owner;

--
-- Name: TABLE permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.permissions IS 'What roles and groups can be given: resource.action, for instance contacts.update.';


--
-- Name: COLUMN permissions.resource; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.permissions.resource IS 'A table, or what else is looked after.';


--
-- Name: COLUMN permissions.action; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.permissions.action IS 'read, create, update, delete, or what else there is to do.';


--
-- Name: COLUMN permissions.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.permissions.description IS 'What it lets somebody do.';


--
-- Name: pipeline_stages; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.pipeline_stages (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    pipeline_id uuid NOT NULL,
    name text NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    probability integer DEFAULT 0 NOT NULL,
    kind text DEFAULT 'open'::text NOT NULL,
    rotting_days integer,
    description text,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT pipeline_stages_kind_check CHECK ((kind = ANY (ARRAY['open'::text, 'won'::text, 'lost'::text]))),
    CONSTRAINT pipeline_stages_probability_check CHECK (((probability >= 0) AND (probability <= 100))),
    CONSTRAINT pipeline_stages_rotting_days_check CHECK (((rotting_days >= 1) AND (rotting_days <= 3650)))
);

ALTER TABLE ONLY crm.pipeline_stages FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.pipeline_stages OWNER TO crm_owner;

--
-- Name: TABLE pipeline_stages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.pipeline_stages IS 'The stages of the pipelines. One can be deleted when it has no deals (23503).';


--
-- Name: COLUMN pipeline_stages.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN pipeline_stages.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN pipeline_stages.pipeline_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.pipeline_id IS 'The pipeline it belongs to. Cannot be changed while the stage has deals (23503).';


--
-- Name: COLUMN pipeline_stages.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.name IS 'Unique within the pipeline.';


--
-- Name: COLUMN pipeline_stages."position"; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages."position" IS 'The place within the pipeline, ascending.';


--
-- Name: COLUMN pipeline_stages.probability; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.probability IS 'Of a deal in this stage to be won, in percent. Won deals count as 100, lost ones as 0 whatever it says.';


--
-- Name: COLUMN pipeline_stages.kind; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.kind IS 'open, won or lost: the status of the deals in it. Cannot be changed while the stage has deals (23503).';


--
-- Name: COLUMN pipeline_stages.rotting_days; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.rotting_days IS 'After so many days in this stage a deal has been left too long.';


--
-- Name: COLUMN pipeline_stages.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.description IS 'Plain text.';


--
-- Name: COLUMN pipeline_stages.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN pipeline_stages.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN pipeline_stages.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN pipeline_stages.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN pipeline_stages.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN pipeline_stages.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipeline_stages.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: pipelines; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.pipelines (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    name text NOT NULL,
    description text,
    "position" integer DEFAULT 0 NOT NULL,
    is_default boolean DEFAULT false NOT NULL,
    archived_at timestamp with time zone,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT pipelines_archived_at_check CHECK (isfinite(archived_at)),
    CONSTRAINT pipelines_default_is_in_use_check CHECK (((NOT is_default) OR (archived_at IS NULL)))
);

ALTER TABLE ONLY crm.pipelines FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.pipelines OWNER TO crm_owner;

--
-- Name: TABLE pipelines; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.pipelines IS 'The ways deals go, from stage to stage. One is the default. It can be deleted when it has no deals (23503).';


--
-- Name: COLUMN pipelines.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN pipelines.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN pipelines.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.name IS 'Unique within the organization.';


--
-- Name: COLUMN pipelines.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.description IS 'Plain text.';


--
-- Name: COLUMN pipelines."position"; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines."position" IS 'The place in lists, ascending.';


--
-- Name: COLUMN pipelines.is_default; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.is_default IS 'Deals that name no pipeline go here. Always true of one: made true, it takes the place of the one before; it cannot be made false (22023), nor archived (23514).';


--
-- Name: COLUMN pipelines.archived_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.archived_at IS 'Since when it is not offered for new deals; its deals stay.';


--
-- Name: COLUMN pipelines.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN pipelines.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN pipelines.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN pipelines.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN pipelines.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN pipelines.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.pipelines.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: plans; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.plans (
    name text NOT NULL,
    title text NOT NULL,
    description text,
    features text[] DEFAULT '{}'::text[] NOT NULL,
    limits jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT plans_features_check CHECK (((array_position(features, NULL::text) IS NULL) AND (cardinality(features) <= 100))),
    CONSTRAINT plans_limits_check CHECK (((limits)::text ~ '^\{("[^"\\]{1,63}": [0-9]{1,15}(, |\}$))*\}?$'::text)),
    CONSTRAINT plans_name_check CHECK (((name ~ '^[a-z][a-z0-9_]*$'::text) AND (char_length(name) <= 63))),
    CONSTRAINT plans_title_check CHECK (((char_length(title) >= 1) AND (char_length(title) <= 200)))
);

ALTER TABLE ONLY crm.plans FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.plans OWNER TO crm_owner;

--
-- Name: TABLE plans; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.plans IS 'The plans: which features an organization has, and how much.';


--
-- Name: COLUMN plans.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.plans.name IS 'The name that organizations.plan has.';


--
-- Name: COLUMN plans.title; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.plans.title IS 'The name that people read.';


--
-- Name: COLUMN plans.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.plans.description IS 'What the plan is for.';


--
-- Name: COLUMN plans.features; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.plans.features IS 'Names that crm.feature_enabled() answers for.';


--
-- Name: COLUMN plans.limits; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.plans.limits IS 'The most that an organization may have: users, webhooks, or a table''s name; records: of each table without a limit of its own. What is not named has no limit.';


--
-- Name: projects; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.projects (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    name text NOT NULL,
    description text,
    status text DEFAULT 'planned'::text NOT NULL,
    starts_on date,
    ends_on date,
    budget numeric(19,4),
    currency text,
    completed_at timestamp with time zone,
    account_id uuid,
    contact_id uuid,
    deal_id uuid,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT projects_budget_check CHECK (((budget >= (0)::numeric) AND (budget <> 'NaN'::numeric))),
    CONSTRAINT projects_ends_after_start_check CHECK ((ends_on >= starts_on)),
    CONSTRAINT projects_ends_on_check CHECK (((ends_on >= '1900-01-01'::date) AND (ends_on <= '2200-01-01'::date))),
    CONSTRAINT projects_starts_on_check CHECK (((starts_on >= '1900-01-01'::date) AND (starts_on <= '2200-01-01'::date))),
    CONSTRAINT projects_status_check CHECK ((status = ANY (ARRAY['planned'::text, 'active'::text, 'on_hold'::text, 'completed'::text, 'cancelled'::text])))
);

ALTER TABLE ONLY crm.projects FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.projects OWNER TO crm_owner;

--
-- Name: TABLE projects; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.projects IS 'Projects: work for a customer over some time.';


--
-- Name: COLUMN projects.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN projects.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN projects.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.name IS 'Of at most 200 characters.';


--
-- Name: COLUMN projects.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.description IS 'Rich text (HTML, sanitised).';


--
-- Name: COLUMN projects.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.status IS 'planned, active, on_hold, completed or cancelled. From planned: active, on_hold, completed, cancelled; from active: on_hold, completed, cancelled; from on_hold: planned, active, completed, cancelled; from completed: active; from cancelled: planned. Any other step is refused (23514, HTTP 422).';


--
-- Name: COLUMN projects.starts_on; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.starts_on IS 'YYYY-MM-DD.';


--
-- Name: COLUMN projects.ends_on; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.ends_on IS 'YYYY-MM-DD, not before starts_on.';


--
-- Name: COLUMN projects.budget; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.budget IS 'In the currency of the column currency.';


--
-- Name: COLUMN projects.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.currency IS 'ISO 4217.';


--
-- Name: COLUMN projects.completed_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.completed_at IS 'Since when the project is completed; kept by the database.';


--
-- Name: COLUMN projects.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.account_id IS 'The customer, of the same organization.';


--
-- Name: COLUMN projects.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.contact_id IS 'The customer''s contact, of the same organization.';


--
-- Name: COLUMN projects.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.deal_id IS 'The deal that led to it, of the same organization.';


--
-- Name: COLUMN projects.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN projects.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN projects.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN projects.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN projects.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN projects.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN projects.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN projects.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN projects.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.projects.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: role_permissions; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.role_permissions (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    role text NOT NULL,
    permission text NOT NULL,
    scope text DEFAULT 'all'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT role_permissions_permission_check CHECK ((permission ~ '^([a-z0-9_]{1,63}|\*)\.([a-z0-9_]{1,63}|\*)$'::text)),
    CONSTRAINT role_permissions_scope_check CHECK ((scope = ANY (ARRAY['own'::text, 'team'::text, 'all'::text])))
);

ALTER TABLE ONLY crm.role_permissions FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.role_permissions OWNER TO crm_owner;

--
-- Name: TABLE role_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.role_permissions IS 'What the organization''s own roles may do, and what it adds to the built-in ones (see built_in_permissions).';


--
-- Name: COLUMN role_permissions.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.role_permissions.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN role_permissions.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.role_permissions.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN role_permissions.role; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.role_permissions.role IS 'The name of a role.';


--
-- Name: COLUMN role_permissions.permission; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.role_permissions.permission IS 'resource.action as in /permissions; * stands for any (contacts.*, *.read, *.*).';


--
-- Name: COLUMN role_permissions.scope; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.role_permissions.scope IS 'own: rows one owns; team: rows owned by somebody in a group of one''s; all. Of several the widest counts.';


--
-- Name: COLUMN role_permissions.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.role_permissions.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN role_permissions.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.role_permissions.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN role_permissions.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.role_permissions.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN role_permissions.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.role_permissions.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN role_permissions.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.role_permissions.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: roles; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.roles (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    name text NOT NULL,
    title text,
    description text,
    rank integer DEFAULT 10 NOT NULL,
    built_in boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT roles_name_check CHECK ((name ~ '^[a-z][a-z0-9_]{0,62}$'::text)),
    CONSTRAINT roles_rank_check CHECK (((rank >= 1) AND (rank <= 100)))
);

ALTER TABLE ONLY crm.roles FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.roles OWNER TO crm_owner;

--
-- Name: TABLE roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.roles IS 'The roles of the organization that are not above the caller''s: the built-in ones and its own.';


--
-- Name: COLUMN roles.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN roles.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN roles.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.name IS 'What memberships and invitations refer to: lower case letters, digits and _, unique within the organization.';


--
-- Name: COLUMN roles.title; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.title IS 'For people.';


--
-- Name: COLUMN roles.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.description IS 'What the role is for.';


--
-- Name: COLUMN roles.rank; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.rank IS '1 to 100 (owner 100, admin 80, manager 60, sales and support 40, read_only 20): nobody sees, gives or takes roles of a higher rank than theirs.';


--
-- Name: COLUMN roles.built_in; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.built_in IS 'One of those that every organization has, and that cannot be changed.';


--
-- Name: COLUMN roles.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN roles.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN roles.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN roles.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN roles.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.roles.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: saved_filters; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.saved_filters (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    entity text NOT NULL,
    name text NOT NULL,
    visibility text DEFAULT 'private'::text NOT NULL,
    group_id uuid,
    query text,
    definition jsonb,
    shown_columns text[] DEFAULT '{}'::text[] NOT NULL,
    sort text,
    is_pinned boolean DEFAULT false NOT NULL,
    owner_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT saved_filters_definition_check CHECK (((jsonb_typeof(definition) = 'object'::text) AND (length((definition)::text) <= 20000))),
    CONSTRAINT saved_filters_team_has_group_check CHECK (((visibility = 'team'::text) = (group_id IS NOT NULL))),
    CONSTRAINT saved_filters_visibility_check CHECK ((visibility = ANY (ARRAY['private'::text, 'team'::text, 'organization'::text])))
);

ALTER TABLE ONLY crm.saved_filters FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.saved_filters OWNER TO crm_owner;

--
-- Name: TABLE saved_filters; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.saved_filters IS 'Views of lists that people keep: their own, their teams'' and the organization''s.';


--
-- Name: COLUMN saved_filters.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN saved_filters.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN saved_filters.entity; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.entity IS 'What is listed: contacts, deals …';


--
-- Name: COLUMN saved_filters.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.name IS 'Unique for each owner and entity.';


--
-- Name: COLUMN saved_filters.visibility; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.visibility IS 'private (seen by the owner alone), team (by the members of the group as well) or organization (by all).';


--
-- Name: COLUMN saved_filters.group_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.group_id IS 'The group that sees it, when visibility is team. It goes with the group.';


--
-- Name: COLUMN saved_filters.query; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.query IS 'The filter as PostgREST takes it: status=eq.active&city=ilike.*berlin*';


--
-- Name: COLUMN saved_filters.definition; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.definition IS 'The filter as the application keeps it, a JSON object of at most 20000 characters.';


--
-- Name: COLUMN saved_filters.shown_columns; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.shown_columns IS 'Which columns are shown, in their order: at most 100.';


--
-- Name: COLUMN saved_filters.sort; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.sort IS 'The order as PostgREST takes it: created_at.desc,id.desc';


--
-- Name: COLUMN saved_filters.is_pinned; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.is_pinned IS 'Whether it is shown first.';


--
-- Name: COLUMN saved_filters.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN saved_filters.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN saved_filters.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN saved_filters.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN saved_filters.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN saved_filters.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.saved_filters.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: tags; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.tags (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    name text NOT NULL,
    name_key text NOT NULL,
    color text,
    description text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT tags_color_check CHECK ((color ~ '^#[0-9a-f]{6}$'::text)),
    CONSTRAINT tags_name_characters_check CHECK ((name !~ '[,{}"\\]'::text)),
    CONSTRAINT tags_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 50)))
);

ALTER TABLE ONLY crm.tags FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.tags OWNER TO crm_owner;

--
-- Name: TABLE tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.tags IS 'What the organization calls its records: filter them with tags=cs.{name}. A tag is made by naming it in a record.';


--
-- Name: COLUMN tags.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tags.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN tags.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tags.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN tags.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tags.name IS 'Up to 50 characters without comma, brace, quotation mark or backslash. Another name is another name in all records; a name that is taken is refused: merge the two with merge_tags.';


--
-- Name: COLUMN tags.name_key; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tags.name_key IS 'The name in lower case, kept by the database: upsert with on_conflict=org_id,name_key.';


--
-- Name: COLUMN tags.color; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tags.color IS '#rrggbb, or none.';


--
-- Name: COLUMN tags.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tags.description IS 'What the tag says of a record.';


--
-- Name: COLUMN tags.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tags.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN tags.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tags.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN tags.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tags.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN tags.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tags.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN tags.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tags.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: tasks; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.tasks (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    title text NOT NULL,
    description text,
    type text DEFAULT 'todo'::text NOT NULL,
    status text DEFAULT 'open'::text NOT NULL,
    priority text DEFAULT 'normal'::text NOT NULL,
    due_at timestamp with time zone,
    remind_at timestamp with time zone,
    assignee_id uuid,
    completed_at timestamp with time zone,
    repeat text,
    account_id uuid,
    contact_id uuid,
    lead_id uuid,
    deal_id uuid,
    ticket_id uuid,
    project_id uuid,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT tasks_due_at_check CHECK (isfinite(due_at)),
    CONSTRAINT tasks_priority_check CHECK ((priority = ANY (ARRAY['low'::text, 'normal'::text, 'high'::text, 'urgent'::text]))),
    CONSTRAINT tasks_remind_at_check CHECK (isfinite(remind_at)),
    CONSTRAINT tasks_status_check CHECK ((status = ANY (ARRAY['open'::text, 'in_progress'::text, 'waiting'::text, 'completed'::text, 'cancelled'::text]))),
    CONSTRAINT tasks_type_check CHECK ((type = ANY (ARRAY['todo'::text, 'call'::text, 'email'::text, 'meeting'::text, 'follow_up'::text, 'other'::text])))
);

ALTER TABLE ONLY crm.tasks FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.tasks OWNER TO crm_owner;

--
-- Name: TABLE tasks; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.tasks IS 'Tasks: what somebody has to do.';


--
-- Name: COLUMN tasks.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN tasks.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN tasks.title; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.title IS 'Of at most 300 characters.';


--
-- Name: COLUMN tasks.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.description IS 'Rich text (HTML, sanitised).';


--
-- Name: COLUMN tasks.type; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.type IS 'todo, call, email, meeting, follow_up or other.';


--
-- Name: COLUMN tasks.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.status IS 'open, in_progress, waiting, completed or cancelled. From open, in_progress and waiting: any of the others; from completed and cancelled: open. Any other step is refused (23514, HTTP 422).';


--
-- Name: COLUMN tasks.priority; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.priority IS 'low, normal, high or urgent.';


--
-- Name: COLUMN tasks.due_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.due_at IS 'Until when it has to be done.';


--
-- Name: COLUMN tasks.remind_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.remind_at IS 'When the assignee wants to be reminded.';


--
-- Name: COLUMN tasks.assignee_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.assignee_id IS 'Who has to do it: a member of the organization, who becomes the owner. A new owner of an assigned task becomes its assignee.';


--
-- Name: COLUMN tasks.completed_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.completed_at IS 'Since when the task is completed; kept by the database.';


--
-- Name: COLUMN tasks.repeat; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.repeat IS 'How it comes again: a recurrence rule of RFC 5545, like FREQ=WEEKLY;BYDAY=MO,TH. Whoever completes the task makes the next one.';


--
-- Name: COLUMN tasks.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.account_id IS 'About an account of the same organization.';


--
-- Name: COLUMN tasks.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.contact_id IS 'About a contact of the same organization.';


--
-- Name: COLUMN tasks.lead_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.lead_id IS 'About a lead of the same organization.';


--
-- Name: COLUMN tasks.deal_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.deal_id IS 'About a deal of the same organization.';


--
-- Name: COLUMN tasks.ticket_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.ticket_id IS 'About a ticket of the same organization.';


--
-- Name: COLUMN tasks.project_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.project_id IS 'About a project of the same organization.';


--
-- Name: COLUMN tasks.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN tasks.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN tasks.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN tasks.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN tasks.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN tasks.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN tasks.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN tasks.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN tasks.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tasks.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: tenants; Type: VIEW; Schema: crm; Owner: crm_owner
--

CREATE VIEW crm.tenants WITH (security_invoker='on') AS
 SELECT organizations.id,
    organizations.slug,
    organizations.name,
    organizations.plan,
    organizations.status,
    organizations.status_reason,
    organizations.status_changed_at,
    organizations.country,
    organizations.currency,
    organizations.time_zone,
    organizations.created_at,
    organizations.updated_at
   FROM crm.organizations;


ALTER TABLE crm.tenants OWNER TO crm_owner;

--
-- Name: VIEW tenants; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON VIEW crm.tenants IS 'All organizations, for the platform. A slug that is left out is made from the name. What has rules of its own has functions: crm.suspend_organization, crm.set_plan, crm.delete_organization and their like. Errors: 42501 without the permissions organizations.create and .update; without .read there are no rows.';


--
-- Name: COLUMN tenants.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.id IS 'What every other table calls org_id.';


--
-- Name: COLUMN tenants.slug; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.slug IS 'Short name for URLs and headers (X-Org-ID), unique, lower case, made from the name.';


--
-- Name: COLUMN tenants.name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.name IS 'The name that people read.';


--
-- Name: COLUMN tenants.plan; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.plan IS 'What it may have, and how much: see plans.';


--
-- Name: COLUMN tenants.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.status IS 'active, suspended or cancelled; only an active organization can be worked in.';


--
-- Name: COLUMN tenants.status_reason; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.status_reason IS 'Why it was suspended or cancelled.';


--
-- Name: COLUMN tenants.status_changed_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.status_changed_at IS 'When it was suspended, cancelled or resumed.';


--
-- Name: COLUMN tenants.country; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.country IS 'ISO 3166-1 alpha-2. Phone numbers without a country code are read as numbers of this country.';


--
-- Name: COLUMN tenants.currency; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.currency IS 'ISO 4217, the default for amounts.';


--
-- Name: COLUMN tenants.time_zone; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.time_zone IS 'IANA time zone name.';


--
-- Name: COLUMN tenants.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.created_at IS 'When the organization was made.';


--
-- Name: COLUMN tenants.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tenants.updated_at IS 'When it was changed last.';


--
-- Name: tickets; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.tickets (
    org_id uuid DEFAULT crm.current_org_id() NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    number bigint NOT NULL,
    subject text NOT NULL,
    description text,
    status text DEFAULT 'new'::text NOT NULL,
    priority text DEFAULT 'normal'::text NOT NULL,
    channel text DEFAULT 'other'::text NOT NULL,
    type text DEFAULT 'question'::text NOT NULL,
    category text,
    assignee_id uuid,
    sla_due_at timestamp with time zone,
    first_response_at timestamp with time zone,
    resolved_at timestamp with time zone,
    closed_at timestamp with time zone,
    satisfaction smallint,
    account_id uuid,
    contact_id uuid,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    owner_id uuid,
    external_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by uuid,
    version integer DEFAULT 1 NOT NULL,
    CONSTRAINT tickets_channel_check CHECK ((channel = ANY (ARRAY['email'::text, 'phone'::text, 'web'::text, 'chat'::text, 'sms'::text, 'whatsapp'::text, 'social'::text, 'api'::text, 'other'::text]))),
    CONSTRAINT tickets_first_response_at_check CHECK (isfinite(first_response_at)),
    CONSTRAINT tickets_number_check CHECK ((number > 0)),
    CONSTRAINT tickets_priority_check CHECK ((priority = ANY (ARRAY['low'::text, 'normal'::text, 'high'::text, 'urgent'::text]))),
    CONSTRAINT tickets_satisfaction_check CHECK (((satisfaction >= 1) AND (satisfaction <= 5))),
    CONSTRAINT tickets_sla_due_at_check CHECK (isfinite(sla_due_at)),
    CONSTRAINT tickets_status_check CHECK ((status = ANY (ARRAY['new'::text, 'open'::text, 'pending'::text, 'on_hold'::text, 'solved'::text, 'closed'::text]))),
    CONSTRAINT tickets_type_check CHECK ((type = ANY (ARRAY['question'::text, 'incident'::text, 'problem'::text, 'request'::text, 'complaint'::text, 'other'::text])))
);

ALTER TABLE ONLY crm.tickets FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.tickets OWNER TO crm_owner;

--
-- Name: TABLE tickets; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.tickets IS 'Tickets: what customers ask for help with.';


--
-- Name: COLUMN tickets.org_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.org_id IS 'The organization the row belongs to; by default the active one. It cannot be changed.';


--
-- Name: COLUMN tickets.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.id IS 'UUID version 7, made by the database unless one is given. It cannot be changed.';


--
-- Name: COLUMN tickets.number; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.number IS 'Counts the tickets of the organization; given by the database.';


--
-- Name: COLUMN tickets.subject; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.subject IS 'Of at most 300 characters.';


--
-- Name: COLUMN tickets.description; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.description IS 'Rich text (HTML, sanitised).';


--
-- Name: COLUMN tickets.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.status IS 'new, open, pending (the customer is asked), on_hold (somebody else is), solved or closed. From new: any other; from open, pending and on_hold: any of the others but new; from solved: open, closed; from closed: open. Any other step is refused (23514, HTTP 422).';


--
-- Name: COLUMN tickets.priority; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.priority IS 'low, normal, high or urgent.';


--
-- Name: COLUMN tickets.channel; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.channel IS 'Where it came from: email, phone, web, chat, sms, whatsapp, social, api or other.';


--
-- Name: COLUMN tickets.type; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.type IS 'question, incident, problem, request, complaint or other.';


--
-- Name: COLUMN tickets.category; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.category IS 'What it is about, in the words of the organization.';


--
-- Name: COLUMN tickets.assignee_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.assignee_id IS 'Who looks after it: a member of the organization, who becomes the owner. A new owner of an assigned ticket becomes its assignee.';


--
-- Name: COLUMN tickets.sla_due_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.sla_due_at IS 'Until when it should be solved, as agreed with the customer.';


--
-- Name: COLUMN tickets.first_response_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.first_response_at IS 'When the customer got the first answer, by whatever channel. Written by whoever answers: the database cannot see it.';


--
-- Name: COLUMN tickets.resolved_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.resolved_at IS 'Since when the ticket is solved or closed; kept by the database.';


--
-- Name: COLUMN tickets.closed_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.closed_at IS 'Since when the ticket is closed; kept by the database.';


--
-- Name: COLUMN tickets.satisfaction; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.satisfaction IS 'How content the customer was: 1 (not at all) to 5.';


--
-- Name: COLUMN tickets.account_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.account_id IS 'The customer, of the same organization.';


--
-- Name: COLUMN tickets.contact_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.contact_id IS 'Who asks: the requester, of the same organization.';


--
-- Name: COLUMN tickets.tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.tags IS 'Names of tags: filter with tags=cs.{vip}.';


--
-- Name: COLUMN tickets.custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.custom_fields IS 'Values of the organization''s own fields, by their keys: filter with custom_fields->>key=eq.value.';


--
-- Name: COLUMN tickets.owner_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.owner_id IS 'The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.';


--
-- Name: COLUMN tickets.external_id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.external_id IS 'The row''s key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.';


--
-- Name: COLUMN tickets.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.created_at IS 'When the row was made; kept by the database.';


--
-- Name: COLUMN tickets.created_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.created_by IS 'The user who made it; kept by the database.';


--
-- Name: COLUMN tickets.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.updated_at IS 'When it was changed last; kept by the database.';


--
-- Name: COLUMN tickets.updated_by; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.updated_by IS 'The user who changed it last; kept by the database.';


--
-- Name: COLUMN tickets.version; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.tickets.version IS 'Grows by one with every change; kept by the database.';


--
-- Name: users; Type: TABLE; Schema: crm; Owner: crm_owner
--

CREATE TABLE crm.users (
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    email text NOT NULL,
    full_name text,
    time_zone text,
    locale text,
    avatar_url text,
    status text DEFAULT 'active'::text NOT NULL,
    email_verified_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT users_email_check CHECK (((email = lower(email)) AND (char_length(email) <= 254))),
    CONSTRAINT users_full_name_check CHECK ((char_length(full_name) <= 200)),
    CONSTRAINT users_status_check CHECK ((status = ANY (ARRAY['active'::text, 'disabled'::text, 'deleted'::text])))
);

ALTER TABLE ONLY crm.users FORCE ROW LEVEL SECURITY;


ALTER TABLE crm.users OWNER TO crm_owner;

--
-- Name: TABLE users; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON TABLE crm.users IS 'People: the caller and the members of the organizations the caller is looking at.';


--
-- Name: COLUMN users.id; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.users.id IS 'What other tables call user_id, created_by, owner_id.';


--
-- Name: COLUMN users.email; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.users.email IS 'Lower case; what one logs in with.';


--
-- Name: COLUMN users.full_name; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.users.full_name IS 'The name that colleagues read.';


--
-- Name: COLUMN users.time_zone; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.users.time_zone IS 'IANA time zone name; null: the organization''s.';


--
-- Name: COLUMN users.locale; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.users.locale IS 'Language and region as BCP 47 writes them: de, pt-BR.';


--
-- Name: COLUMN users.avatar_url; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.users.avatar_url IS 'Address of a picture (http or https).';


--
-- Name: COLUMN users.status; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.users.status IS 'active, disabled or deleted; only an active user can act.';


--
-- Name: COLUMN users.email_verified_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.users.email_verified_at IS 'When the user last proved to read this address; null: never.';


--
-- Name: COLUMN users.created_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.users.created_at IS 'When the user was made.';


--
-- Name: COLUMN users.updated_at; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON COLUMN crm.users.updated_at IS 'When the profile was changed last.';


--
-- Name: api_key_uses; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.api_key_uses (
    api_key_id uuid NOT NULL,
    last_used_at timestamp with time zone
);

ALTER TABLE ONLY crm_private.api_key_uses FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.api_key_uses OWNER TO crm_owner;

--
-- Name: TABLE api_key_uses; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.api_key_uses IS 'When an API key was used last, to the minute.';


--
-- Name: api_keys; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.api_keys (
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    org_id uuid,
    name text NOT NULL,
    prefix text NOT NULL,
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_keys_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 100))),
    CONSTRAINT api_keys_scopes_check CHECK (((cardinality(scopes) >= 1) AND (cardinality(scopes) <= 100)))
);
ALTER TABLE ONLY crm_private.api_keys ALTER COLUMN hash SET STATISTICS 0;

ALTER TABLE ONLY crm_private.api_keys FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.api_keys OWNER TO crm_owner;

--
-- Name: TABLE api_keys; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.api_keys IS 'API keys; the readable prefix tells them apart, the hash proves them.';


--
-- Name: COLUMN api_keys.org_id; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.api_keys.org_id IS 'Null for a platform key.';


--
-- Name: COLUMN api_keys.hash; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.api_keys.hash IS 'SHA-256 of the whole key, which holds 256 random bits.';


--
-- Name: COLUMN api_keys.scopes; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.api_keys.scopes IS 'Permissions, resource.action; * stands for any.';


--
-- Name: custom_references; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.custom_references (
    org_id uuid NOT NULL,
    field_id uuid NOT NULL,
    record_id uuid NOT NULL,
    target_id uuid NOT NULL
);

ALTER TABLE ONLY crm_private.custom_references FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.custom_references OWNER TO crm_owner;

--
-- Name: TABLE custom_references; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.custom_references IS 'Which records point to which by custom fields of type reference.';


--
-- Name: custom_unique_values; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.custom_unique_values (
    org_id uuid NOT NULL,
    field_id uuid NOT NULL,
    value text NOT NULL,
    record_id uuid NOT NULL
);

ALTER TABLE ONLY crm_private.custom_unique_values FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.custom_unique_values OWNER TO crm_owner;

--
-- Name: TABLE custom_unique_values; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.custom_unique_values IS 'The values of unique custom fields, and whose they are.';


--
-- Name: COLUMN custom_unique_values.value; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.custom_unique_values.value IS 'As text; of more than 2000 bytes the SHA-256 hash, in hexadecimal.';


--
-- Name: identity_changes; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.identity_changes (
);

ALTER TABLE ONLY crm_private.identity_changes FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.identity_changes OWNER TO crm_owner;

--
-- Name: TABLE identity_changes; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.identity_changes IS 'Empty: its relation cache entry is what tells backends that identities changed.';


--
-- Name: identity_providers; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.identity_providers (
    name text NOT NULL,
    enabled boolean DEFAULT false NOT NULL,
    issuers text[] DEFAULT '{}'::text[] NOT NULL,
    client_ids text[] DEFAULT '{}'::text[] NOT NULL,
    algorithms text[] DEFAULT '{RS256}'::text[] NOT NULL,
    jwks jsonb,
    jwks_uri text,
    jwks_fetched_at timestamp with time zone,
    create_users boolean DEFAULT true NOT NULL,
    accept_access_tokens boolean DEFAULT false NOT NULL,
    access_token_audiences text[] DEFAULT '{}'::text[] NOT NULL,
    authorization_endpoint text,
    token_endpoint text,
    userinfo_endpoint text,
    scope text DEFAULT 'openid email profile'::text NOT NULL,
    client_secret text,
    redirect_uris text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT identity_providers_access_tokens_have_audience_check CHECK (((NOT accept_access_tokens) OR ((cardinality(access_token_audiences) > 0) AND (cardinality(issuers) > 0)))),
    CONSTRAINT identity_providers_algorithms_check CHECK (((algorithms <@ '{RS256,ES256,EdDSA}'::text[]) AND (cardinality(algorithms) > 0))),
    CONSTRAINT identity_providers_enabled_has_client_check CHECK (((NOT enabled) OR (cardinality(client_ids) > 0) OR accept_access_tokens)),
    CONSTRAINT identity_providers_https_check CHECK (((jwks_uri ~ '^https://'::text) AND (authorization_endpoint ~ '^https://'::text) AND (token_endpoint ~ '^https://'::text) AND (userinfo_endpoint ~ '^https://'::text))),
    CONSTRAINT identity_providers_name_check CHECK (((name ~ '^[a-z0-9]+(-[a-z0-9]+)*$'::text) AND (char_length(name) <= 50))),
    CONSTRAINT identity_providers_no_null_check CHECK ((array_position(((((issuers || client_ids) || access_token_audiences) || redirect_uris) || algorithms), NULL::text) IS NULL))
);
ALTER TABLE ONLY crm_private.identity_providers ALTER COLUMN client_secret SET STATISTICS 0;

ALTER TABLE ONLY crm_private.identity_providers FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.identity_providers OWNER TO crm_owner;

--
-- Name: TABLE identity_providers; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.identity_providers IS 'Whose tokens are taken. Google and GitHub are there, disabled: set client_ids and enabled.';


--
-- Name: COLUMN identity_providers.issuers; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.identity_providers.issuers IS 'Values of iss that are this provider''s.';


--
-- Name: COLUMN identity_providers.client_ids; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.identity_providers.client_ids IS 'Values of aud in its ID tokens that are this application; the first is the one codes are exchanged for.';


--
-- Name: COLUMN identity_providers.jwks; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.identity_providers.jwks IS 'Its key set (RFC 7517), kept fresh by the worker from jwks_uri, or put here by hand. Reduced to signature keys when stored.';


--
-- Name: COLUMN identity_providers.create_users; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.identity_providers.create_users IS 'Whether the first sign-in makes a user and an organization; else only users who exist can sign in.';


--
-- Name: COLUMN identity_providers.accept_access_tokens; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.identity_providers.accept_access_tokens IS 'Whether its access tokens are taken as they are, as "Authorization: Bearer …". They must carry no role claim, or role crm_anon.';


--
-- Name: COLUMN identity_providers.access_token_audiences; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.identity_providers.access_token_audiences IS 'Values of aud in those access tokens.';


--
-- Name: COLUMN identity_providers.redirect_uris; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.identity_providers.redirect_uris IS 'Where the provider may send people back to, exactly.';


--
-- Name: invitations; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.invitations (
    org_id uuid NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    email text NOT NULL,
    role text NOT NULL,
    invited_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    accepted_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT invitations_email_check CHECK (((email = lower(email)) AND (char_length(email) <= 254))),
    CONSTRAINT invitations_one_end_check CHECK (((accepted_at IS NULL) OR (revoked_at IS NULL)))
);

ALTER TABLE ONLY crm_private.invitations FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.invitations OWNER TO crm_owner;

--
-- Name: TABLE invitations; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.invitations IS 'Who was invited into which organization, as what.';


--
-- Name: login_failures; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.login_failures (
    kind text NOT NULL,
    subject bytea NOT NULL,
    failures integer NOT NULL,
    window_started_at timestamp with time zone NOT NULL,
    CONSTRAINT login_failures_kind_check CHECK ((kind = ANY (ARRAY['account'::text, 'address'::text, 'password_reset'::text, 'email_verification'::text, 'invitation'::text])))
);
ALTER TABLE ONLY crm_private.login_failures ALTER COLUMN subject SET STATISTICS 0;

ALTER TABLE ONLY crm_private.login_failures FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.login_failures OWNER TO crm_owner;

--
-- Name: TABLE login_failures; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.login_failures IS 'Attempts within the current window, for known and unknown e-mail addresses alike.';


--
-- Name: COLUMN login_failures.subject; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.login_failures.subject IS 'SHA-256 of the e-mail address or the network address (IPv6: the /64).';


--
-- Name: messages; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.messages (
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    org_id uuid,
    kind text NOT NULL,
    recipient text,
    content jsonb DEFAULT '{}'::jsonb NOT NULL,
    secret text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    claimed_until timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT messages_finished_forgets_check CHECK (((finished_at IS NULL) OR (secret IS NULL))),
    CONSTRAINT messages_kind_check CHECK ((kind = ANY (ARRAY['password_reset'::text, 'email_verification'::text, 'invitation'::text, 'password_changed'::text])))
);
ALTER TABLE ONLY crm_private.messages ALTER COLUMN secret SET STATISTICS 0;

ALTER TABLE ONLY crm_private.messages FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.messages OWNER TO crm_owner;

--
-- Name: TABLE messages; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.messages IS 'What is to be sent to people; crm.claim_messages() hands it to whoever delivers it.';


--
-- Name: COLUMN messages.org_id; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.messages.org_id IS 'The organization that invites, with which the message goes; null for what is between a person and the platform.';


--
-- Name: COLUMN messages.secret; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.messages.secret IS 'The token the message carries; gone as soon as the message is delivered.';


--
-- Name: oauth_flows; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.oauth_flows (
    state_hash bytea NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    provider text NOT NULL,
    redirect_uri text NOT NULL,
    code_challenge text NOT NULL,
    status text DEFAULT 'started'::text NOT NULL,
    code text,
    code_verifier text,
    profile jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    claimed_until timestamp with time zone,
    CONSTRAINT oauth_flows_exchanged_has_profile_check CHECK (((status = 'exchanged'::text) = (profile IS NOT NULL))),
    CONSTRAINT oauth_flows_status_check CHECK ((status = ANY (ARRAY['started'::text, 'waiting'::text, 'exchanged'::text, 'failed'::text, 'finished'::text]))),
    CONSTRAINT oauth_flows_waiting_has_code_check CHECK (((status = 'waiting'::text) = ((code IS NOT NULL) AND (code_verifier IS NOT NULL))))
);
ALTER TABLE ONLY crm_private.oauth_flows ALTER COLUMN state_hash SET STATISTICS 0;
ALTER TABLE ONLY crm_private.oauth_flows ALTER COLUMN code SET STATISTICS 0;
ALTER TABLE ONLY crm_private.oauth_flows ALTER COLUMN code_verifier SET STATISTICS 0;
ALTER TABLE ONLY crm_private.oauth_flows ALTER COLUMN profile SET STATISTICS 0;

ALTER TABLE ONLY crm_private.oauth_flows FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.oauth_flows OWNER TO crm_owner;

--
-- Name: TABLE oauth_flows; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.oauth_flows IS 'Sign-ins by authorization code (RFC 6749) with PKCE (RFC 7636) that are under way.';


--
-- Name: one_time_tokens; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.one_time_tokens (
    hash bytea NOT NULL,
    purpose text NOT NULL,
    user_id uuid,
    org_id uuid,
    invitation_id uuid,
    email text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT one_time_tokens_invitation_check CHECK (((purpose = 'invitation'::text) = (invitation_id IS NOT NULL))),
    CONSTRAINT one_time_tokens_purpose_check CHECK ((purpose = ANY (ARRAY['password_reset'::text, 'email_verification'::text, 'invitation'::text])))
);
ALTER TABLE ONLY crm_private.one_time_tokens ALTER COLUMN hash SET STATISTICS 0;

ALTER TABLE ONLY crm_private.one_time_tokens FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.one_time_tokens OWNER TO crm_owner;

--
-- Name: TABLE one_time_tokens; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.one_time_tokens IS 'SHA-256 of tokens that were sent to an e-mail address.';


--
-- Name: COLUMN one_time_tokens.user_id; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.one_time_tokens.user_id IS 'Null for an address that has no account: the row is written all the same, so that the time taken does not tell.';


--
-- Name: passwords; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.passwords (
    user_id uuid NOT NULL,
    hash text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT passwords_hash_check CHECK ((hash ~ '^\$(argon2id\$|2[aby]\$)'::text))
);
ALTER TABLE ONLY crm_private.passwords ALTER COLUMN hash SET STATISTICS 0;

ALTER TABLE ONLY crm_private.passwords FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.passwords OWNER TO crm_owner;

--
-- Name: TABLE passwords; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.passwords IS 'Argon2id hashes in PHC string format; bcrypt hashes of another system until their owner''s next login.';


--
-- Name: plan_overrides; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.plan_overrides (
    org_id uuid NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    enabled boolean,
    maximum bigint,
    starts_at timestamp with time zone DEFAULT now() NOT NULL,
    ends_at timestamp with time zone,
    reason text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT plan_overrides_kind_check CHECK ((((kind = 'feature'::text) AND (enabled IS NOT NULL) AND (maximum IS NULL)) OR ((kind = 'limit'::text) AND (enabled IS NULL)))),
    CONSTRAINT plan_overrides_maximum_check CHECK (((maximum >= 0) AND (maximum <= '999999999999999'::bigint))),
    CONSTRAINT plan_overrides_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 63))),
    CONSTRAINT plan_overrides_reason_check CHECK (((char_length(reason) >= 1) AND (char_length(reason) <= 500))),
    CONSTRAINT plan_overrides_times_check CHECK ((isfinite(starts_at) AND isfinite(ends_at) AND (ends_at > starts_at)))
);

ALTER TABLE ONLY crm_private.plan_overrides FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.plan_overrides OWNER TO crm_owner;

--
-- Name: TABLE plan_overrides; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.plan_overrides IS 'What an organization has instead of what its plan says; one for each feature and each limit.';


--
-- Name: COLUMN plan_overrides.kind; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.plan_overrides.kind IS 'feature or limit.';


--
-- Name: COLUMN plan_overrides.maximum; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.plan_overrides.maximum IS 'Of a limit; null: none.';


--
-- Name: COLUMN plan_overrides.ends_at; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.plan_overrides.ends_at IS 'From then on the plan counts again; null: never.';


--
-- Name: platform_members; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.platform_members (
    user_id uuid NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT platform_members_role_check CHECK ((role = ANY (ARRAY['super_admin'::text, 'support'::text])))
);

ALTER TABLE ONLY crm_private.platform_members FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.platform_members OWNER TO crm_owner;

--
-- Name: TABLE platform_members; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.platform_members IS 'People who work for the platform: support looks and impersonates, super_admin may whatever the platform may.';


--
-- Name: refresh_tokens; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.refresh_tokens (
    hash bytea NOT NULL,
    session_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    used_at timestamp with time zone,
    successor_salt bytea,
    CONSTRAINT refresh_tokens_salt_needs_use_check CHECK (((successor_salt IS NULL) OR (used_at IS NOT NULL)))
);
ALTER TABLE ONLY crm_private.refresh_tokens ALTER COLUMN hash SET STATISTICS 0;
ALTER TABLE ONLY crm_private.refresh_tokens ALTER COLUMN successor_salt SET STATISTICS 0;

ALTER TABLE ONLY crm_private.refresh_tokens FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.refresh_tokens OWNER TO crm_owner;

--
-- Name: TABLE refresh_tokens; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.refresh_tokens IS 'SHA-256 of refresh tokens; the newest of a session can be used.';


--
-- Name: COLUMN refresh_tokens.successor_salt; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.refresh_tokens.successor_salt IS 'With the token itself, which is stored nowhere, gives its successor again: the answer to a repeated use within the grace.';


--
-- Name: schema_version; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.schema_version (
    version text NOT NULL,
    installed_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY crm_private.schema_version FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.schema_version OWNER TO crm_owner;

--
-- Name: TABLE schema_version; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.schema_version IS 'The versions of crm_ext whose tables these are; the newest row counts.';


--
-- Name: sessions; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.sessions (
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL,
    org_id uuid,
    actor_id uuid,
    reason text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    refreshed_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    end_reason text,
    ip_address text,
    user_agent text,
    CONSTRAINT sessions_end_reason_check CHECK ((end_reason = ANY (ARRAY['logout'::text, 'password_changed'::text, 'refresh_token_reused'::text, 'user_suspended'::text, 'user_deleted'::text, 'e_mail_taken_over'::text]))),
    CONSTRAINT sessions_impersonation_says_why_check CHECK ((((kind = 'impersonation'::text) = (actor_id IS NOT NULL)) AND ((actor_id IS NULL) = (reason IS NULL)))),
    CONSTRAINT sessions_kind_check CHECK ((kind = ANY (ARRAY['password'::text, 'identity_provider'::text, 'invitation'::text, 'service'::text, 'impersonation'::text]))),
    CONSTRAINT sessions_reason_needs_end_check CHECK (((end_reason IS NULL) OR (ended_at IS NOT NULL)))
);

ALTER TABLE ONLY crm_private.sessions FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.sessions OWNER TO crm_owner;

--
-- Name: TABLE sessions; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.sessions IS 'One row per login; a token whose session has ended is refused.';


--
-- Name: COLUMN sessions.org_id; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.sessions.org_id IS 'The organization that was active last.';


--
-- Name: COLUMN sessions.actor_id; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.sessions.actor_id IS 'Who of the platform''s support acts as the user.';


--
-- Name: settings; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.settings (
    singleton boolean DEFAULT true NOT NULL,
    issuer text DEFAULT 'crm_ext'::text NOT NULL,
    audience text DEFAULT 'crm'::text NOT NULL,
    additional_audiences text[] DEFAULT '{}'::text[] NOT NULL,
    public_url text DEFAULT 'http://localhost:3000'::text NOT NULL,
    access_token_ttl interval DEFAULT '00:15:00'::interval NOT NULL,
    service_token_ttl interval DEFAULT '01:00:00'::interval NOT NULL,
    impersonation_ttl interval DEFAULT '00:15:00'::interval NOT NULL,
    refresh_token_ttl interval DEFAULT '7 days'::interval NOT NULL,
    refresh_grace interval DEFAULT '00:00:10'::interval NOT NULL,
    session_max_age interval DEFAULT '30 days'::interval NOT NULL,
    clock_leeway interval DEFAULT '00:00:05'::interval NOT NULL,
    key_lead_time interval DEFAULT '00:00:30'::interval NOT NULL,
    password_length_min integer DEFAULT 8 NOT NULL,
    argon2_memory_kib integer DEFAULT 19456 NOT NULL,
    argon2_iterations integer DEFAULT 2 NOT NULL,
    argon2_parallelism integer DEFAULT 1 NOT NULL,
    login_failures_max integer DEFAULT 5 NOT NULL,
    login_failures_window interval DEFAULT '00:15:00'::interval NOT NULL,
    trusted_proxies integer DEFAULT 1 NOT NULL,
    password_reset_ttl interval DEFAULT '01:00:00'::interval NOT NULL,
    email_verification_ttl interval DEFAULT '2 days'::interval NOT NULL,
    invitation_ttl interval DEFAULT '7 days'::interval NOT NULL,
    oauth_ttl interval DEFAULT '00:10:00'::interval NOT NULL,
    CONSTRAINT settings_access_token_ttl_check CHECK (((access_token_ttl >= '00:00:01'::interval) AND (access_token_ttl <= '1 day'::interval))),
    CONSTRAINT settings_additional_audiences_check CHECK (((array_position(additional_audiences, NULL::text) IS NULL) AND (cardinality(additional_audiences) <= 10))),
    CONSTRAINT settings_argon2_ceiling_check CHECK (((argon2_memory_kib * argon2_iterations) <= 1048576)),
    CONSTRAINT settings_argon2_floor_check CHECK (((argon2_memory_kib * argon2_iterations) >= 35840)),
    CONSTRAINT settings_argon2_iterations_check CHECK (((argon2_iterations >= 1) AND (argon2_iterations <= 20))),
    CONSTRAINT settings_argon2_memory_kib_check CHECK (((argon2_memory_kib >= 7168) AND (argon2_memory_kib <= 262144))),
    CONSTRAINT settings_argon2_parallelism_check CHECK (((argon2_parallelism >= 1) AND (argon2_parallelism <= 16))),
    CONSTRAINT settings_audience_check CHECK ((audience <> ''::text)),
    CONSTRAINT settings_clock_leeway_check CHECK (((clock_leeway >= '00:00:00'::interval) AND (clock_leeway <= '00:02:00'::interval))),
    CONSTRAINT settings_email_verification_ttl_check CHECK (((email_verification_ttl >= '00:01:00'::interval) AND (email_verification_ttl <= '30 days'::interval))),
    CONSTRAINT settings_impersonation_ttl_check CHECK (((impersonation_ttl >= '00:00:01'::interval) AND (impersonation_ttl <= '01:00:00'::interval))),
    CONSTRAINT settings_invitation_ttl_check CHECK (((invitation_ttl >= '00:01:00'::interval) AND (invitation_ttl <= '30 days'::interval))),
    CONSTRAINT settings_issuer_check CHECK ((issuer <> ''::text)),
    CONSTRAINT settings_key_lead_time_check CHECK (((key_lead_time >= '00:00:00'::interval) AND (key_lead_time <= '1 day'::interval))),
    CONSTRAINT settings_login_failures_max_check CHECK (((login_failures_max >= 1) AND (login_failures_max <= 100))),
    CONSTRAINT settings_login_failures_window_check CHECK (((login_failures_window >= '00:00:01'::interval) AND (login_failures_window <= '1 day'::interval))),
    CONSTRAINT settings_oauth_ttl_check CHECK (((oauth_ttl >= '00:01:00'::interval) AND (oauth_ttl <= '01:00:00'::interval))),
    CONSTRAINT settings_password_length_min_check CHECK (((password_length_min >= 8) AND (password_length_min <= 64))),
    CONSTRAINT settings_password_reset_ttl_check CHECK (((password_reset_ttl >= '00:01:00'::interval) AND (password_reset_ttl <= '1 day'::interval))),
    CONSTRAINT settings_public_url_check CHECK (((public_url ~ '^https?://[^/?#]+(/[^?#]*)?$'::text) AND (public_url !~ '/$'::text))),
    CONSTRAINT settings_refresh_grace_check CHECK (((refresh_grace >= '00:00:00'::interval) AND (refresh_grace <= '00:01:00'::interval))),
    CONSTRAINT settings_refresh_token_ttl_check CHECK (((refresh_token_ttl >= '00:00:01'::interval) AND (refresh_token_ttl <= '90 days'::interval))),
    CONSTRAINT settings_service_token_ttl_check CHECK (((service_token_ttl >= '00:00:01'::interval) AND (service_token_ttl <= '30 days'::interval))),
    CONSTRAINT settings_session_max_age_check CHECK (((session_max_age >= '00:00:01'::interval) AND (session_max_age <= '366 days'::interval))),
    CONSTRAINT settings_singleton_check CHECK (singleton),
    CONSTRAINT settings_trusted_proxies_check CHECK (((trusted_proxies >= 0) AND (trusted_proxies <= 5)))
);

ALTER TABLE ONLY crm_private.settings FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.settings OWNER TO crm_owner;

--
-- Name: TABLE settings; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.settings IS 'One row: what the DBA may tune. Run NOTIFY pgrst after changing the audience.';


--
-- Name: COLUMN settings.issuer; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.issuer IS 'iss of every token; for OpenID Connect discovery a URL.';


--
-- Name: COLUMN settings.audience; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.audience IS 'What must be in the aud of a token for this API to take it.';


--
-- Name: COLUMN settings.additional_audiences; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.additional_audiences IS 'Further services the tokens are made for: aud is then a list.';


--
-- Name: COLUMN settings.public_url; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.public_url IS 'Where clients reach the API, without a slash at the end; in crm.openid_configuration().';


--
-- Name: COLUMN settings.access_token_ttl; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.access_token_ttl IS 'Life of the access tokens of people who log in.';


--
-- Name: COLUMN settings.service_token_ttl; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.service_token_ttl IS 'Life of the access tokens of crm.issue_token.';


--
-- Name: COLUMN settings.impersonation_ttl; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.impersonation_ttl IS 'The longest that support can act as a user at a time.';


--
-- Name: COLUMN settings.refresh_token_ttl; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.refresh_token_ttl IS 'How long a refresh token can be used; each use gives a new one.';


--
-- Name: COLUMN settings.refresh_grace; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.refresh_grace IS 'How long after its use a refresh token still answers, with the same successor: for a reply that was lost, or two tabs.';


--
-- Name: COLUMN settings.session_max_age; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.session_max_age IS 'After this, one logs in again however often one refreshed (NIST SP 800-63B: 30 days).';


--
-- Name: COLUMN settings.clock_leeway; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.clock_leeway IS 'How far nbf and iat may lie in the future; exp has no leeway. For external issuers'' tokens: exp too.';


--
-- Name: COLUMN settings.key_lead_time; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.key_lead_time IS 'How long a new signing key is published before it signs: the time PostgREST and others have to fetch it.';


--
-- Name: COLUMN settings.password_length_min; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.password_length_min IS 'Characters. NIST SP 800-63B-4 advises 15 where the password is all there is.';


--
-- Name: COLUMN settings.argon2_memory_kib; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.argon2_memory_kib IS 'Argon2id; with other values than a stored hash has, the next login makes a new one.';


--
-- Name: COLUMN settings.login_failures_max; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.login_failures_max IS 'Failed logins per account, and per address, after which further ones are refused …';


--
-- Name: COLUMN settings.login_failures_window; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.login_failures_window IS '… until this long after the first of them.';


--
-- Name: COLUMN settings.trusted_proxies; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.settings.trusted_proxies IS 'How many proxies stand before PostgREST, each adding to X-Forwarded-For: the client''s address is the entry that far from its end. 0: the header is not believed.';


--
-- Name: signing_keys; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.signing_keys (
    kid text NOT NULL,
    alg text NOT NULL,
    public_jwk jsonb NOT NULL,
    private_key text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    active_from timestamp with time zone DEFAULT now() NOT NULL,
    retired_at timestamp with time zone,
    expires_at timestamp with time zone,
    CONSTRAINT signing_keys_active_can_sign_check CHECK (((retired_at IS NOT NULL) OR (private_key IS NOT NULL))),
    CONSTRAINT signing_keys_alg_check CHECK ((alg = ANY (ARRAY['RS256'::text, 'ES256'::text, 'EdDSA'::text]))),
    CONSTRAINT signing_keys_retired_expires_check CHECK (((retired_at IS NULL) = (expires_at IS NULL)))
);
ALTER TABLE ONLY crm_private.signing_keys ALTER COLUMN private_key SET STATISTICS 0;

ALTER TABLE ONLY crm_private.signing_keys FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.signing_keys OWNER TO crm_owner;

--
-- Name: TABLE signing_keys; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.signing_keys IS 'The keys access tokens are signed with; a retired one verifies until expires_at.';


--
-- Name: COLUMN signing_keys.kid; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.signing_keys.kid IS 'RFC 7638 thumbprint of the public key.';


--
-- Name: COLUMN signing_keys.private_key; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.signing_keys.private_key IS 'PKCS #8, PEM; gone once the key is retired.';


--
-- Name: COLUMN signing_keys.active_from; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON COLUMN crm_private.signing_keys.active_from IS 'Signs from here until retired_at; published before.';


--
-- Name: usage; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.usage (
    org_id uuid NOT NULL,
    resource text NOT NULL,
    current bigint NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE ONLY crm_private.usage FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.usage OWNER TO crm_owner;

--
-- Name: TABLE usage; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.usage IS 'How much an organization has of a resource, together with usage_deltas.';


--
-- Name: usage_deltas; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.usage_deltas (
    org_id uuid NOT NULL,
    resource text NOT NULL,
    id uuid DEFAULT crm.uuid_v7() NOT NULL,
    delta bigint NOT NULL
);

ALTER TABLE ONLY crm_private.usage_deltas FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.usage_deltas OWNER TO crm_owner;

--
-- Name: TABLE usage_deltas; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.usage_deltas IS 'What was added to a resource without a limit, or removed, since it was added up.';


--
-- Name: user_identities; Type: TABLE; Schema: crm_private; Owner: crm_owner
--

CREATE TABLE crm_private.user_identities (
    provider text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT user_identities_subject_check CHECK (((char_length(subject) >= 1) AND (char_length(subject) <= 255)))
);

ALTER TABLE ONLY crm_private.user_identities FORCE ROW LEVEL SECURITY;


ALTER TABLE crm_private.user_identities OWNER TO crm_owner;

--
-- Name: TABLE user_identities; Type: COMMENT; Schema: crm_private; Owner: crm_owner
--

COMMENT ON TABLE crm_private.user_identities IS 'What identity providers call our users (their sub).';


--
-- Data for Name: accounts; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.accounts (org_id, id, name, domain, website, type, status, industry, employees, annual_revenue, currency, email, phone, phone_normalized, tax_id, billing_street, billing_city, billing_state, billing_postal_code, billing_country, shipping_street, shipping_city, shipping_state, shipping_postal_code, shipping_country, linkedin_url, description, parent_id, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: activities; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.activities (org_id, id, type, subject, body, direction, outcome, occurred_at, duration_minutes, account_id, contact_id, lead_id, deal_id, ticket_id, project_id, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: activity_links; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.activity_links (org_id, id, activity_id, account_id, contact_id, lead_id, deal_id, ticket_id, project_id, owner_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: appointment_attendees; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.appointment_attendees (org_id, id, appointment_id, contact_id, user_id, email, name, attendance, answer, answered_at, owner_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: appointments; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.appointments (org_id, id, title, description, starts_at, ends_at, all_day, time_zone, location, meeting_url, status, remind_at, account_id, contact_id, lead_id, deal_id, ticket_id, project_id, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: attachments; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.attachments (org_id, id, file_name, content_type, size_bytes, checksum_sha256, storage_key, storage_url, description, account_id, contact_id, lead_id, deal_id, activity_id, task_id, ticket_id, project_id, job_id, estimate_id, invoice_id, message_id, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: automations; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.automations (org_id, id, name, description, enabled, trigger_event, conditions, actions, run_order, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: built_in_permissions; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.built_in_permissions (role, permission, scope) FROM stdin;
owner	*.*	all
admin	*.*	all
manager	organizations.read	all
sales	organizations.read	all
support	organizations.read	all
read_only	organizations.read	all
manager	users.read	all
sales	users.read	all
support	users.read	all
read_only	users.read	all
manager	memberships.read	all
sales	memberships.read	all
support	memberships.read	all
read_only	memberships.read	all
manager	roles.read	all
read_only	roles.read	all
sales	roles.read	all
support	roles.read	all
manager	role_permissions.read	all
read_only	role_permissions.read	all
sales	role_permissions.read	all
support	role_permissions.read	all
manager	groups.read	all
read_only	groups.read	all
sales	groups.read	all
support	groups.read	all
manager	group_members.read	all
read_only	group_members.read	all
sales	group_members.read	all
support	group_members.read	all
manager	tags.create	all
manager	tags.read	all
manager	tags.update	all
read_only	tags.read	all
sales	tags.read	all
support	tags.read	all
manager	custom_fields.read	all
read_only	custom_fields.read	all
sales	custom_fields.read	all
support	custom_fields.read	all
manager	number_series.read	all
read_only	number_series.read	all
sales	number_series.read	all
support	number_series.read	all
manager	accounts.create	team
manager	accounts.delete	team
manager	accounts.read	team
manager	accounts.update	team
read_only	accounts.read	all
sales	accounts.create	own
sales	accounts.delete	own
sales	accounts.read	own
sales	accounts.update	own
support	accounts.create	own
support	accounts.read	all
support	accounts.update	own
manager	contacts.create	team
manager	contacts.delete	team
manager	contacts.read	team
manager	contacts.update	team
read_only	contacts.read	all
sales	contacts.create	own
sales	contacts.delete	own
sales	contacts.read	own
sales	contacts.update	own
support	contacts.create	own
support	contacts.read	all
support	contacts.update	own
manager	pipelines.read	all
read_only	pipelines.read	all
sales	pipelines.read	all
support	pipelines.read	all
manager	pipeline_stages.read	all
read_only	pipeline_stages.read	all
sales	pipeline_stages.read	all
support	pipeline_stages.read	all
manager	deals.create	team
manager	deals.delete	team
manager	deals.read	team
manager	deals.update	team
read_only	deals.read	all
sales	deals.create	own
sales	deals.delete	own
sales	deals.read	own
sales	deals.update	own
support	deals.create	own
support	deals.read	all
support	deals.update	own
manager	leads.create	team
manager	leads.delete	team
manager	leads.read	team
manager	leads.update	team
read_only	leads.read	all
sales	leads.create	own
sales	leads.delete	own
sales	leads.read	own
sales	leads.update	own
support	leads.create	own
support	leads.read	all
support	leads.update	own
manager	projects.create	team
manager	projects.delete	team
manager	projects.read	team
manager	projects.update	team
read_only	projects.read	all
sales	projects.create	own
sales	projects.delete	own
sales	projects.read	own
sales	projects.update	own
support	projects.create	own
support	projects.read	all
support	projects.update	own
manager	jobs.create	team
manager	jobs.delete	team
manager	jobs.read	team
manager	jobs.update	team
read_only	jobs.read	all
sales	jobs.create	own
sales	jobs.delete	own
sales	jobs.read	own
sales	jobs.update	own
support	jobs.create	own
support	jobs.read	all
support	jobs.update	own
manager	tickets.create	team
manager	tickets.delete	team
manager	tickets.read	team
manager	tickets.update	team
read_only	tickets.read	all
sales	tickets.create	own
sales	tickets.delete	own
sales	tickets.read	own
sales	tickets.update	own
support	tickets.create	own
support	tickets.read	all
support	tickets.update	own
manager	estimates.create	team
manager	estimates.delete	team
manager	estimates.read	team
manager	estimates.update	team
read_only	estimates.read	all
sales	estimates.create	own
sales	estimates.delete	own
sales	estimates.read	own
sales	estimates.update	own
support	estimates.create	own
support	estimates.read	all
support	estimates.update	own
manager	invoices.create	team
manager	invoices.delete	team
manager	invoices.read	team
manager	invoices.update	team
read_only	invoices.read	all
sales	invoices.create	own
sales	invoices.delete	own
sales	invoices.read	own
sales	invoices.update	own
support	invoices.create	own
support	invoices.read	all
support	invoices.update	own
manager	payments.create	team
manager	payments.delete	team
manager	payments.read	team
manager	payments.update	team
read_only	payments.read	all
sales	payments.create	own
sales	payments.delete	own
sales	payments.read	own
sales	payments.update	own
support	payments.create	own
support	payments.read	all
support	payments.update	own
manager	activities.create	team
manager	activities.delete	team
manager	activities.read	team
manager	activities.update	team
read_only	activities.read	all
sales	activities.create	own
sales	activities.delete	own
sales	activities.read	own
sales	activities.update	own
support	activities.create	own
support	activities.read	all
support	activities.update	own
manager	tasks.create	team
manager	tasks.delete	team
manager	tasks.read	team
manager	tasks.update	team
read_only	tasks.read	all
sales	tasks.create	own
sales	tasks.delete	own
sales	tasks.read	own
sales	tasks.update	own
support	tasks.create	own
support	tasks.read	all
support	tasks.update	own
manager	appointments.create	team
manager	appointments.delete	team
manager	appointments.read	team
manager	appointments.update	team
read_only	appointments.read	all
sales	appointments.create	own
sales	appointments.delete	own
sales	appointments.read	own
sales	appointments.update	own
support	appointments.create	own
support	appointments.read	all
support	appointments.update	own
manager	messages.create	team
manager	messages.delete	team
manager	messages.read	team
manager	messages.update	team
read_only	messages.read	all
sales	messages.create	own
sales	messages.delete	own
sales	messages.read	own
sales	messages.update	own
support	messages.create	own
support	messages.read	all
support	messages.update	own
manager	saved_filters.create	own
manager	saved_filters.delete	own
manager	saved_filters.read	all
manager	saved_filters.update	own
read_only	saved_filters.read	all
sales	saved_filters.create	own
sales	saved_filters.delete	own
sales	saved_filters.read	all
sales	saved_filters.update	own
support	saved_filters.create	own
support	saved_filters.delete	own
support	saved_filters.read	all
support	saved_filters.update	own
manager	automations.read	all
manager	daily_metrics.read	all
read_only	daily_metrics.read	all
manager	notifications.delete	own
manager	notifications.read	own
manager	notifications.update	own
read_only	notifications.delete	own
read_only	notifications.read	own
read_only	notifications.update	own
sales	notifications.delete	own
sales	notifications.read	own
sales	notifications.update	own
support	notifications.delete	own
support	notifications.read	own
support	notifications.update	own
manager	attachments.create	team
manager	attachments.delete	team
manager	attachments.read	team
manager	attachments.update	team
read_only	attachments.read	all
sales	attachments.create	own
sales	attachments.delete	own
sales	attachments.read	own
sales	attachments.update	own
support	attachments.create	own
support	attachments.read	all
support	attachments.update	own
\.


--
-- Data for Name: built_in_roles; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.built_in_roles (name, title, description, rank) FROM stdin;
owner	Owner	Everything, and the only one who makes others owners. An organization always has one.	100
admin	Administrator	Everything but what concerns owners.	80
manager	Manager	Works with the rows of their teams.	60
sales	Sales	Works with their own rows.	40
support	Support	Sees all records, works with their own.	40
read_only	Read only	Sees all records.	20
\.


--
-- Data for Name: contact_accounts; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.contact_accounts (org_id, id, contact_id, account_id, role, owner_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: contact_emails; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.contact_emails (org_id, id, contact_id, kind, email, owner_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: contact_phones; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.contact_phones (org_id, id, contact_id, kind, phone, phone_normalized, owner_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: contacts; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.contacts (org_id, id, account_id, salutation, first_name, last_name, title, department, status, lead_source, email, email_kind, phone, phone_kind, phone_normalized, do_not_call, do_not_email, linkedin_url, avatar_url, birthday, street, city, state, postal_code, country, description, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: custom_fields; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.custom_fields (org_id, id, entity, key, label, type, required, is_unique, default_value, options, reference_entity, description, "position", created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: daily_metrics; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.daily_metrics (org_id, id, day, new_accounts, new_contacts, new_leads, converted_leads, new_deals, won_deals, lost_deals, won_amount, activities, completed_tasks, new_tickets, solved_tickets, invoiced_amount, paid_amount, created_at, updated_at, version) FROM stdin;
\.


--
-- Data for Name: deal_contacts; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.deal_contacts (org_id, id, deal_id, contact_id, role, owner_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: deal_stage_changes; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.deal_stage_changes (org_id, id, deal_id, from_stage_id, from_stage, to_stage_id, to_stage, changed_at, changed_by, seconds_before, owner_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: deals; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.deals (org_id, id, name, account_id, contact_id, pipeline_id, stage_id, status, amount, currency, probability, expected_close_date, closed_at, lost_reason, source, next_step, "position", stage_changed_at, description, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: estimate_items; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.estimate_items (org_id, id, estimate_id, "position", description, quantity, unit, unit_price, discount_percent, tax_rate, discount_amount, line_total, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: estimates; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.estimates (org_id, id, number, title, account_id, contact_id, deal_id, status, currency, issue_date, valid_until, notes, terms, subtotal, discount_total, tax_total, total, taxes, sent_at, accepted_at, declined_at, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: group_members; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.group_members (org_id, id, group_id, user_id, is_lead, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: group_permissions; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.group_permissions (org_id, id, group_id, permission, scope, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: group_roles; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.group_roles (org_id, id, group_id, role, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: groups; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.groups (org_id, id, name, description, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: invoice_items; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.invoice_items (org_id, id, invoice_id, "position", description, quantity, unit, unit_price, discount_percent, tax_rate, discount_amount, line_total, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: invoices; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.invoices (org_id, id, number, title, account_id, contact_id, deal_id, estimate_id, project_id, job_id, status, currency, issue_date, due_date, purchase_order, billing_name, billing_street, billing_city, billing_state, billing_postal_code, billing_country, notes, terms, subtotal, discount_total, tax_total, total, taxes, amount_paid, balance_due, sent_at, paid_at, voided_at, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: jobs; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.jobs (org_id, id, title, description, type, status, priority, scheduled_start, scheduled_end, assignee_id, street, city, state, postal_code, country, price, currency, completed_at, project_id, account_id, contact_id, deal_id, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: leads; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.leads (org_id, id, salutation, first_name, last_name, company, title, email, phone, phone_normalized, website, industry, employees, source, status, rating, score, estimated_value, currency, campaign, utm_source, utm_medium, utm_campaign, utm_term, utm_content, do_not_call, do_not_email, linkedin_url, street, city, state, postal_code, country, lost_reason, converted_at, converted_account_id, converted_contact_id, converted_deal_id, description, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: memberships; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.memberships (org_id, id, user_id, role, status, created_at, ended_at) FROM stdin;
\.


--
-- Data for Name: messages; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.messages (org_id, id, channel, direction, thread_id, from_address, to_addresses, cc_addresses, subject, body, body_html, status, error, sent_at, received_at, source_id, in_reply_to, account_id, contact_id, lead_id, deal_id, ticket_id, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: notifications; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.notifications (org_id, id, user_id, kind, title, body, entity, record_id, read_at, owner_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: number_series; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.number_series (org_id, id, kind, prefix, padding, first_number, last_number, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: organizations; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.organizations (id, slug, name, plan, status, status_reason, status_changed_at, country, currency, time_zone, created_at, updated_at) FROM stdin;
\.


--
-- Data for Name: payments; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.payments (org_id, id, invoice_id, account_id, amount, currency, method, paid_on, reference, note, idempotency_key, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: permissions; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.permissions (resource, action, description) FROM stdin;
organizations	read	See the organization.
organizations	update	Change the organization's name, country, currency and time zone.
users	read	See the people in the organization.
memberships	read	See who is a member, and as what.
memberships	update	Give members another role.
memberships	delete	Remove members.
invitations	read	See open invitations.
invitations	create	Invite people.
invitations	delete	Take invitations back.
api_keys	read	See the organization's API keys.
api_keys	create	Make API keys.
api_keys	delete	Revoke API keys.
access	read	Ask why somebody may or may not do something.
roles	read	See roles.
roles	create	Add roles.
roles	update	Change roles.
roles	delete	Delete roles.
role_permissions	read	See role permissions.
role_permissions	create	Add role permissions.
role_permissions	update	Change role permissions.
role_permissions	delete	Delete role permissions.
groups	read	See groups.
groups	create	Add groups.
groups	update	Change groups.
groups	delete	Delete groups.
group_members	read	See group members.
group_members	create	Add group members.
group_members	update	Change group members.
group_members	delete	Delete group members.
group_permissions	read	See group permissions.
group_permissions	create	Add group permissions.
group_permissions	update	Change group permissions.
group_permissions	delete	Delete group permissions.
group_roles	read	See group roles.
group_roles	create	Add group roles.
group_roles	update	Change group roles.
group_roles	delete	Delete group roles.
tags	read	See tags.
tags	create	Add tags.
tags	update	Change tags.
tags	delete	Delete tags.
custom_fields	read	See custom fields.
custom_fields	create	Add custom fields.
custom_fields	update	Change custom fields.
custom_fields	delete	Delete custom fields.
number_series	read	See number series.
number_series	create	Add number series.
number_series	update	Change number series.
number_series	delete	Delete number series.
accounts	read	See accounts.
accounts	create	Add accounts.
accounts	update	Change accounts.
accounts	delete	Delete accounts.
contacts	read	See contacts.
contacts	create	Add contacts.
contacts	update	Change contacts.
contacts	delete	Delete contacts.
pipelines	read	See pipelines.
pipelines	create	Add pipelines.
pipelines	update	Change pipelines.
pipelines	delete	Delete pipelines.
pipeline_stages	read	See pipeline stages.
pipeline_stages	create	Add pipeline stages.
pipeline_stages	update	Change pipeline stages.
pipeline_stages	delete	Delete pipeline stages.
deals	read	See deals.
deals	create	Add deals.
deals	update	Change deals.
deals	delete	Delete deals.
leads	read	See leads.
leads	create	Add leads.
leads	update	Change leads.
leads	delete	Delete leads.
projects	read	See projects.
projects	create	Add projects.
projects	update	Change projects.
projects	delete	Delete projects.
jobs	read	See jobs.
jobs	create	Add jobs.
jobs	update	Change jobs.
jobs	delete	Delete jobs.
tickets	read	See tickets.
tickets	create	Add tickets.
tickets	update	Change tickets.
tickets	delete	Delete tickets.
estimates	read	See estimates.
estimates	create	Add estimates.
estimates	update	Change estimates.
estimates	delete	Delete estimates.
invoices	read	See invoices.
invoices	create	Add invoices.
invoices	update	Change invoices.
invoices	delete	Delete invoices.
payments	read	See payments.
payments	create	Add payments.
payments	update	Change payments.
payments	delete	Delete payments.
activities	read	See activities.
activities	create	Add activities.
activities	update	Change activities.
activities	delete	Delete activities.
tasks	read	See tasks.
tasks	create	Add tasks.
tasks	update	Change tasks.
tasks	delete	Delete tasks.
appointments	read	See appointments.
appointments	create	Add appointments.
appointments	update	Change appointments.
appointments	delete	Delete appointments.
messages	read	See messages.
messages	create	Add messages.
messages	update	Change messages.
messages	delete	Delete messages.
saved_filters	read	See saved filters.
saved_filters	create	Add saved filters.
saved_filters	update	Change saved filters.
saved_filters	delete	Delete saved filters.
automations	read	See automations.
automations	create	Add automations.
automations	update	Change automations.
automations	delete	Delete automations.
daily_metrics	read	See daily metrics.
notifications	read	See notifications.
notifications	create	Add notifications.
notifications	update	Change notifications.
notifications	delete	Delete notifications.
attachments	read	See attachments.
attachments	create	Add attachments.
attachments	update	Change attachments.
attachments	delete	Delete attachments.
\.


--
-- Data for Name: pipeline_stages; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.pipeline_stages (org_id, id, pipeline_id, name, "position", probability, kind, rotting_days, description, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: pipelines; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.pipelines (org_id, id, name, description, "position", is_default, archived_at, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: plans; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.plans (name, title, description, features, limits) FROM stdin;
free	Free	\N	{api_keys,webhooks}	{"users": 10, "records": 10000, "webhooks": 2}
pro	Pro	\N	{api_keys,automations,custom_roles,teams,webhooks}	{"users": 50, "records": 250000, "webhooks": 20}
enterprise	Enterprise	\N	{api_keys,audit_export,automations,custom_roles,sso,teams,webhooks}	{}
\.


--
-- Data for Name: projects; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.projects (org_id, id, name, description, status, starts_on, ends_on, budget, currency, completed_at, account_id, contact_id, deal_id, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: role_permissions; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.role_permissions (org_id, id, role, permission, scope, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: roles; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.roles (org_id, id, name, title, description, rank, built_in, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: saved_filters; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.saved_filters (org_id, id, entity, name, visibility, group_id, query, definition, shown_columns, sort, is_pinned, owner_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: tags; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.tags (org_id, id, name, name_key, color, description, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: tasks; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.tasks (org_id, id, title, description, type, status, priority, due_at, remind_at, assignee_id, completed_at, repeat, account_id, contact_id, lead_id, deal_id, ticket_id, project_id, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: tickets; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.tickets (org_id, id, number, subject, description, status, priority, channel, type, category, assignee_id, sla_due_at, first_response_at, resolved_at, closed_at, satisfaction, account_id, contact_id, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version) FROM stdin;
\.


--
-- Data for Name: users; Type: TABLE DATA; Schema: crm; Owner: crm_owner
--

COPY crm.users (id, email, full_name, time_zone, locale, avatar_url, status, email_verified_at, created_at, updated_at) FROM stdin;
\.


--
-- Data for Name: api_key_uses; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.api_key_uses (api_key_id, last_used_at) FROM stdin;
\.


--
-- Data for Name: api_keys; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.api_keys (id, org_id, name, prefix, hash, scopes, created_by, created_at, expires_at, revoked_at) FROM stdin;
\.


--
-- Data for Name: custom_references; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.custom_references (org_id, field_id, record_id, target_id) FROM stdin;
\.


--
-- Data for Name: custom_unique_values; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.custom_unique_values (org_id, field_id, value, record_id) FROM stdin;
\.


--
-- Data for Name: identity_changes; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.identity_changes  FROM stdin;
\.


--
-- Data for Name: identity_providers; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.identity_providers (name, enabled, issuers, client_ids, algorithms, jwks, jwks_uri, jwks_fetched_at, create_users, accept_access_tokens, access_token_audiences, authorization_endpoint, token_endpoint, userinfo_endpoint, scope, client_secret, redirect_uris) FROM stdin;
google	f	{https://accounts.google.com,accounts.google.com}	{}	{RS256}	\N	https://www.googleapis.com/oauth2/v3/certs	\N	t	f	{}	https://accounts.google.com/o/oauth2/v2/auth	https://oauth2.googleapis.com/token	https://openidconnect.googleapis.com/v1/userinfo	openid email profile	\N	{}
github	f	{}	{}	{RS256}	\N	\N	\N	t	f	{}	https://github.com/login/oauth/authorize	https://github.com/login/oauth/access_token	https://api.github.com/user	read:user user:email	\N	{}
\.


--
-- Data for Name: invitations; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.invitations (org_id, id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at) FROM stdin;
\.


--
-- Data for Name: login_failures; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.login_failures (kind, subject, failures, window_started_at) FROM stdin;
\.


--
-- Data for Name: messages; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.messages (id, org_id, kind, recipient, content, secret, created_at, expires_at, claimed_until, attempts, finished_at) FROM stdin;
\.


--
-- Data for Name: oauth_flows; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.oauth_flows (state_hash, id, provider, redirect_uri, code_challenge, status, code, code_verifier, profile, created_at, expires_at, claimed_until) FROM stdin;
\.


--
-- Data for Name: one_time_tokens; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.one_time_tokens (hash, purpose, user_id, org_id, invitation_id, email, created_at, expires_at, used_at) FROM stdin;
\.


--
-- Data for Name: passwords; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.passwords (user_id, hash, changed_at) FROM stdin;
\.


--
-- Data for Name: plan_overrides; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.plan_overrides (org_id, id, name, kind, enabled, maximum, starts_at, ends_at, reason, created_at) FROM stdin;
\.


--
-- Data for Name: platform_members; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.platform_members (user_id, role, created_at) FROM stdin;
\.


--
-- Data for Name: refresh_tokens; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.refresh_tokens (hash, session_id, created_at, used_at, successor_salt) FROM stdin;
\.


--
-- Data for Name: schema_version; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.schema_version (version, installed_at) FROM stdin;
0.1.0	2026-11-21 09:31:12.21291+00
\.


--
-- Data for Name: sessions; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.sessions (id, user_id, kind, org_id, actor_id, reason, created_at, refreshed_at, expires_at, ended_at, end_reason, ip_address, user_agent) FROM stdin;
\.


--
-- Data for Name: settings; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.settings (singleton, issuer, audience, additional_audiences, public_url, access_token_ttl, service_token_ttl, impersonation_ttl, refresh_token_ttl, refresh_grace, session_max_age, clock_leeway, key_lead_time, password_length_min, argon2_memory_kib, argon2_iterations, argon2_parallelism, login_failures_max, login_failures_window, trusted_proxies, password_reset_ttl, email_verification_ttl, invitation_ttl, oauth_ttl) FROM stdin;
t	crm_ext	crm	{}	http://localhost:3000	00:15:00	01:00:00	00:15:00	7 days	00:00:10	30 days	00:00:05	00:00:30	8	19456	2	1	5	00:15:00	1	01:00:00	2 days	7 days	00:10:00
\.


--
-- Data for Name: signing_keys; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.signing_keys (kid, alg, public_jwk, private_key, created_at, active_from, retired_at, expires_at) FROM stdin;
rLxHYbtTzxE5V-0tK9CgN3fSqZJ_JtVABUhmfbJTWQQ	RS256	{"e": "AQAB", "n": "5nI9lY-VYELMm-3iRpf0V6JZVneaMkgsStYcYqfdZPn2zY9eDCVAtXQeO7azYzYqGE94cWlM25t3j3596F8ByEQAXOSS8-e2Sv_lUi6gl9BjEytpvvgJBNwwANvsvDEkDMWIltesucntoijK92xpNCsW-Uwn0sRjKuQnO-_r4SLv3Rnkt-yeKjN8IEuAbIciSkUwpPGwvCr0ayW_IsZzV_f0rxvV4BYyf5l0BDMs2DC2ihgMViEcfRLV1aBYU-iuHKPNku6Qb4BBzSK0MaOWIKACMrJx75alM8_OxlTQQOE7yQ6kAKZ-hHWkGcu83mW4l0LdAp4WCWCErAzEjwIkfQ", "alg": "RS256", "kid": "rLxHYbtTzxE5V-0tK9CgN3fSqZJ_JtVABUhmfbJTWQQ", "kty": "RSA", "use": "sig"}	-----BEGIN PRIVATE KEY-----\r\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDmcj2Vj5VgQsyb\r\n7eJGl/RXollWd5oySCxK1hxip91k+fbNj14MJUC1dB47trNjNioYT3hxaUzbm3eP\r\nfn3oXwHIRABc5JLz57ZK/+VSLqCX0GMTK2m++AkE3DAA2+y8MSQMxYiW16y5ye2i\r\nKMr3bGk0Kxb5TCfSxGMq5Cc77+vhIu/dGeS37J4qM3wgS4BshyJKRTCk8bC8KvRr\r\nJb8ixnNX9/SvG9XgFjJ/mXQEMyzYMLaKGAxWIRx9EtXVoFhT6K4co82S7pBvgEHN\r\nIrQxo5YgoAIysnHvlqUzz87GVNBA4TvJDqQApn6EdaQZy7zeZbiXQt0CnhYJYISs\r\nDMSPAiR9AgMBAAECggEACfVF1ACwY8h/Lv3ImWRXmrHZSnNApouX3mQCNgErAAIN\r\nODTJy5yQf0bVR59NgSwGBabpfX0fZR4CvKCqsC/q08ycd2cpMoEAz5zfO/3n0qee\r\noGVv3GC7gwpAyMi4Iim9dQ/UJzCKtjyTmD5LBwYYRbjW9U7lKaZy4peZWm2zs7bJ\r\nyJYWIJKQ5z3Zw58EfDcNMPdfxehZXl2FLagivvugX+tYZSYa7kfrCtbsTVsRcugz\r\nR6Wg1kJEePjl47I1BNvH4Zk3GsTDEgvhHL4lXJdcwYY7ktk1ecUIAKblc3kSRn9P\r\nZhdVbuZKfbJIMA6djHWzc9RY2Zt0KQMYYl8O4y38AQKBgQD1LIMpSMvmie0p8qpu\r\ntRmaQOpb5HN93NV6XA9YbF/q7xocPPSkp8DvCfYuRJK8y95hsCRdQOliIRSgOpli\r\nhpiQkA7dQp4F4Ee0E0+OqETX4VmJ938pRMOfZbcjXtFZyfyDtAIzfyJEpVb9enc7\r\ndP+y3YcFuE/fEWLsWNv+ohSN0QKBgQDwnz6fWhfn6iZpL7pezYa3CmNxM3cIUmrZ\r\n89meec1Huj9xtkQckzG1eFpPfG3snYdJS2gRzhEnQ6Sj1ZhAX1HbQUYM4VIu00sS\r\nAjVOgm9BD0a7Y0PjJ7R9ViaUxaiMMsXQLnlRkdAIVgKjhK5k7iq7Ge7DOgHC29rB\r\nxjlWWyG67QKBgBrO2TCkcxcsMbCKhjRAvSHuwzF1E2PJx9XvRwZGI17O8i3wRFfU\r\nt/XrQu3gNaNLL2/DENbZiCtgrp6uiaMKUJhOCDINXLYLxgtcqTBSGeT5EQ9S7qaW\r\njEVbm+DUN1P4EBJelncHCboz0gU5ZNwteOAX9PGdK66aehSZysRW+KRhAoGAX9S8\r\nRxDFlpq9o4Tbr+gg8ANWKX56uLjCT317vU77P8bgf7Q8mjjRQlnldeSzjtoKSFmc\r\n4AJ2+HFLP+jQk0qjOjRb5sNSTM3gBxMUEemGz5166SSWpABrNMO75+J0xylteQUZ\r\nUjBFbxx6Po+YOSBVqmCgo+YVT3rqO+Rrb4Yp/90CgYEAghzlLU7/WIOI0yn2VikC\r\n0N79GjiNPNGwgmWOwaWgjWUt/cwDb1MT6gGDhI5isN9nbdCt1azQIL2kyEfk0Odi\r\n3uT5gpzkjxKtFdL0OZtXItrbsBdXuNL3qSh6yTjy6dKUQQ0Y7HqaJ52D8hGLoDnY\r\nb1CNYNXj1MZ1HfG2S2asWWY=\r\n-----END PRIVATE KEY-----\r\n	2026-11-21 09:31:12.21291+00	2026-11-21 09:31:13.112433+00	\N	\N
\.


--
-- Data for Name: usage; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.usage (org_id, resource, current) FROM stdin;
\.


--
-- Data for Name: usage_deltas; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.usage_deltas (org_id, resource, id, delta) FROM stdin;
\.


--
-- Data for Name: user_identities; Type: TABLE DATA; Schema: crm_private; Owner: crm_owner
--

COPY crm_private.user_identities (provider, subject, user_id, created_at) FROM stdin;
\.


--
-- Name: accounts accounts_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.accounts
    ADD CONSTRAINT accounts_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: accounts accounts_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (org_id, id);


--
-- Name: activities activities_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activities
    ADD CONSTRAINT activities_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: activities activities_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activities
    ADD CONSTRAINT activities_pkey PRIMARY KEY (org_id, id);


--
-- Name: activity_links activity_links_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activity_links
    ADD CONSTRAINT activity_links_key UNIQUE NULLS NOT DISTINCT (org_id, activity_id, account_id, contact_id, lead_id, deal_id, ticket_id, project_id);


--
-- Name: activity_links activity_links_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activity_links
    ADD CONSTRAINT activity_links_pkey PRIMARY KEY (org_id, id);


--
-- Name: appointment_attendees appointment_attendees_org_id_appointment_id_email_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointment_attendees
    ADD CONSTRAINT appointment_attendees_org_id_appointment_id_email_key UNIQUE (org_id, appointment_id, email);


--
-- Name: appointment_attendees appointment_attendees_org_id_contact_id_appointment_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointment_attendees
    ADD CONSTRAINT appointment_attendees_org_id_contact_id_appointment_id_key UNIQUE (org_id, contact_id, appointment_id);


--
-- Name: appointment_attendees appointment_attendees_org_id_user_id_appointment_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointment_attendees
    ADD CONSTRAINT appointment_attendees_org_id_user_id_appointment_id_key UNIQUE (org_id, user_id, appointment_id);


--
-- Name: appointment_attendees appointment_attendees_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointment_attendees
    ADD CONSTRAINT appointment_attendees_pkey PRIMARY KEY (org_id, id);


--
-- Name: appointments appointments_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointments
    ADD CONSTRAINT appointments_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: appointments appointments_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointments
    ADD CONSTRAINT appointments_pkey PRIMARY KEY (org_id, id);


--
-- Name: attachments attachments_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: attachments attachments_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_pkey PRIMARY KEY (org_id, id);


--
-- Name: automations automations_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.automations
    ADD CONSTRAINT automations_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: automations automations_org_id_name_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.automations
    ADD CONSTRAINT automations_org_id_name_key UNIQUE (org_id, name);


--
-- Name: automations automations_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.automations
    ADD CONSTRAINT automations_pkey PRIMARY KEY (org_id, id);


--
-- Name: built_in_permissions built_in_permissions_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.built_in_permissions
    ADD CONSTRAINT built_in_permissions_pkey PRIMARY KEY (role, permission);


--
-- Name: built_in_roles built_in_roles_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.built_in_roles
    ADD CONSTRAINT built_in_roles_pkey PRIMARY KEY (name);


--
-- Name: contact_accounts contact_accounts_org_id_contact_id_account_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_accounts
    ADD CONSTRAINT contact_accounts_org_id_contact_id_account_id_key UNIQUE (org_id, contact_id, account_id);


--
-- Name: contact_accounts contact_accounts_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_accounts
    ADD CONSTRAINT contact_accounts_pkey PRIMARY KEY (org_id, id);


--
-- Name: contact_emails contact_emails_org_id_email_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_emails
    ADD CONSTRAINT contact_emails_org_id_email_key UNIQUE (org_id, email);


--
-- Name: contact_emails contact_emails_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_emails
    ADD CONSTRAINT contact_emails_pkey PRIMARY KEY (org_id, id);


--
-- Name: contact_phones contact_phones_org_id_contact_id_phone_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_phones
    ADD CONSTRAINT contact_phones_org_id_contact_id_phone_key UNIQUE (org_id, contact_id, phone);


--
-- Name: contact_phones contact_phones_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_phones
    ADD CONSTRAINT contact_phones_pkey PRIMARY KEY (org_id, id);


--
-- Name: contacts contacts_org_id_email_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contacts
    ADD CONSTRAINT contacts_org_id_email_key UNIQUE (org_id, email);


--
-- Name: contacts contacts_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contacts
    ADD CONSTRAINT contacts_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: contacts contacts_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (org_id, id);


--
-- Name: custom_fields custom_fields_org_id_entity_key_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.custom_fields
    ADD CONSTRAINT custom_fields_org_id_entity_key_key UNIQUE (org_id, entity, key);


--
-- Name: custom_fields custom_fields_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.custom_fields
    ADD CONSTRAINT custom_fields_pkey PRIMARY KEY (org_id, id);


--
-- Name: daily_metrics daily_metrics_org_id_day_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.daily_metrics
    ADD CONSTRAINT daily_metrics_org_id_day_key UNIQUE (org_id, day);


--
-- Name: daily_metrics daily_metrics_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.daily_metrics
    ADD CONSTRAINT daily_metrics_pkey PRIMARY KEY (org_id, id);


--
-- Name: deal_contacts deal_contacts_org_id_deal_id_contact_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deal_contacts
    ADD CONSTRAINT deal_contacts_org_id_deal_id_contact_id_key UNIQUE (org_id, deal_id, contact_id);


--
-- Name: deal_contacts deal_contacts_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deal_contacts
    ADD CONSTRAINT deal_contacts_pkey PRIMARY KEY (org_id, id);


--
-- Name: deal_stage_changes deal_stage_changes_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deal_stage_changes
    ADD CONSTRAINT deal_stage_changes_pkey PRIMARY KEY (org_id, id);


--
-- Name: deals deals_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deals
    ADD CONSTRAINT deals_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: deals deals_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deals
    ADD CONSTRAINT deals_pkey PRIMARY KEY (org_id, id);


--
-- Name: estimate_items estimate_items_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimate_items
    ADD CONSTRAINT estimate_items_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: estimate_items estimate_items_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimate_items
    ADD CONSTRAINT estimate_items_pkey PRIMARY KEY (org_id, id);


--
-- Name: estimates estimates_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimates
    ADD CONSTRAINT estimates_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: estimates estimates_org_id_number_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimates
    ADD CONSTRAINT estimates_org_id_number_key UNIQUE (org_id, number);


--
-- Name: estimates estimates_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimates
    ADD CONSTRAINT estimates_pkey PRIMARY KEY (org_id, id);


--
-- Name: group_members group_members_org_id_group_id_user_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_members
    ADD CONSTRAINT group_members_org_id_group_id_user_id_key UNIQUE (org_id, group_id, user_id);


--
-- Name: group_members group_members_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_members
    ADD CONSTRAINT group_members_pkey PRIMARY KEY (org_id, id);


--
-- Name: group_permissions group_permissions_org_id_group_id_permission_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_permissions
    ADD CONSTRAINT group_permissions_org_id_group_id_permission_key UNIQUE (org_id, group_id, permission);


--
-- Name: group_permissions group_permissions_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_permissions
    ADD CONSTRAINT group_permissions_pkey PRIMARY KEY (org_id, id);


--
-- Name: group_roles group_roles_org_id_group_id_role_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_roles
    ADD CONSTRAINT group_roles_org_id_group_id_role_key UNIQUE (org_id, group_id, role);


--
-- Name: group_roles group_roles_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_roles
    ADD CONSTRAINT group_roles_pkey PRIMARY KEY (org_id, id);


--
-- Name: groups groups_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.groups
    ADD CONSTRAINT groups_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: groups groups_org_id_name_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.groups
    ADD CONSTRAINT groups_org_id_name_key UNIQUE (org_id, name);


--
-- Name: groups groups_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.groups
    ADD CONSTRAINT groups_pkey PRIMARY KEY (org_id, id);


--
-- Name: invoice_items invoice_items_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoice_items
    ADD CONSTRAINT invoice_items_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: invoice_items invoice_items_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoice_items
    ADD CONSTRAINT invoice_items_pkey PRIMARY KEY (org_id, id);


--
-- Name: invoices invoices_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoices
    ADD CONSTRAINT invoices_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: invoices invoices_org_id_number_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoices
    ADD CONSTRAINT invoices_org_id_number_key UNIQUE (org_id, number);


--
-- Name: invoices invoices_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoices
    ADD CONSTRAINT invoices_pkey PRIMARY KEY (org_id, id);


--
-- Name: jobs jobs_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.jobs
    ADD CONSTRAINT jobs_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: jobs jobs_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (org_id, id);


--
-- Name: leads leads_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.leads
    ADD CONSTRAINT leads_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: leads leads_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.leads
    ADD CONSTRAINT leads_pkey PRIMARY KEY (org_id, id);


--
-- Name: memberships memberships_org_id_user_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.memberships
    ADD CONSTRAINT memberships_org_id_user_id_key UNIQUE (org_id, user_id);


--
-- Name: memberships memberships_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (org_id, id);


--
-- Name: messages messages_org_id_channel_source_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.messages
    ADD CONSTRAINT messages_org_id_channel_source_id_key UNIQUE (org_id, channel, source_id);


--
-- Name: messages messages_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.messages
    ADD CONSTRAINT messages_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: messages messages_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (org_id, id);


--
-- Name: notifications notifications_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.notifications
    ADD CONSTRAINT notifications_pkey PRIMARY KEY (org_id, id);


--
-- Name: number_series number_series_org_id_kind_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.number_series
    ADD CONSTRAINT number_series_org_id_kind_key UNIQUE (org_id, kind);


--
-- Name: number_series number_series_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.number_series
    ADD CONSTRAINT number_series_pkey PRIMARY KEY (org_id, id);


--
-- Name: organizations organizations_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);


--
-- Name: organizations organizations_slug_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.organizations
    ADD CONSTRAINT organizations_slug_key UNIQUE (slug);


--
-- Name: payments payments_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.payments
    ADD CONSTRAINT payments_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: payments payments_org_id_idempotency_key_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.payments
    ADD CONSTRAINT payments_org_id_idempotency_key_key UNIQUE (org_id, idempotency_key);


--
-- Name: payments payments_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.payments
    ADD CONSTRAINT payments_pkey PRIMARY KEY (org_id, id);


--
-- Name: permissions permissions_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.permissions
    ADD CONSTRAINT permissions_pkey PRIMARY KEY (resource, action);


--
-- Name: pipeline_stages pipeline_stages_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.pipeline_stages
    ADD CONSTRAINT pipeline_stages_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: pipeline_stages pipeline_stages_org_id_pipeline_id_id_kind_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.pipeline_stages
    ADD CONSTRAINT pipeline_stages_org_id_pipeline_id_id_kind_key UNIQUE (org_id, pipeline_id, id, kind);


--
-- Name: pipeline_stages pipeline_stages_org_id_pipeline_id_name_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.pipeline_stages
    ADD CONSTRAINT pipeline_stages_org_id_pipeline_id_name_key UNIQUE (org_id, pipeline_id, name);


--
-- Name: pipeline_stages pipeline_stages_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.pipeline_stages
    ADD CONSTRAINT pipeline_stages_pkey PRIMARY KEY (org_id, id);


--
-- Name: pipelines pipelines_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.pipelines
    ADD CONSTRAINT pipelines_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: pipelines pipelines_org_id_name_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.pipelines
    ADD CONSTRAINT pipelines_org_id_name_key UNIQUE (org_id, name);


--
-- Name: pipelines pipelines_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.pipelines
    ADD CONSTRAINT pipelines_pkey PRIMARY KEY (org_id, id);


--
-- Name: plans plans_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.plans
    ADD CONSTRAINT plans_pkey PRIMARY KEY (name);


--
-- Name: projects projects_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.projects
    ADD CONSTRAINT projects_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: projects projects_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (org_id, id);


--
-- Name: role_permissions role_permissions_org_id_role_permission_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.role_permissions
    ADD CONSTRAINT role_permissions_org_id_role_permission_key UNIQUE (org_id, role, permission);


--
-- Name: role_permissions role_permissions_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.role_permissions
    ADD CONSTRAINT role_permissions_pkey PRIMARY KEY (org_id, id);


--
-- Name: roles roles_org_id_name_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.roles
    ADD CONSTRAINT roles_org_id_name_key UNIQUE (org_id, name);


--
-- Name: roles roles_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.roles
    ADD CONSTRAINT roles_pkey PRIMARY KEY (org_id, id);


--
-- Name: saved_filters saved_filters_org_id_owner_id_entity_name_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.saved_filters
    ADD CONSTRAINT saved_filters_org_id_owner_id_entity_name_key UNIQUE (org_id, owner_id, entity, name);


--
-- Name: saved_filters saved_filters_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.saved_filters
    ADD CONSTRAINT saved_filters_pkey PRIMARY KEY (org_id, id);


--
-- Name: tags tags_org_id_name_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tags
    ADD CONSTRAINT tags_org_id_name_key UNIQUE (org_id, name);


--
-- Name: tags tags_org_id_name_key_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tags
    ADD CONSTRAINT tags_org_id_name_key_key UNIQUE (org_id, name_key);


--
-- Name: tags tags_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tags
    ADD CONSTRAINT tags_pkey PRIMARY KEY (org_id, id);


--
-- Name: tasks tasks_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tasks
    ADD CONSTRAINT tasks_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: tasks tasks_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (org_id, id);


--
-- Name: tickets tickets_org_id_external_id_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tickets
    ADD CONSTRAINT tickets_org_id_external_id_key UNIQUE (org_id, external_id);


--
-- Name: tickets tickets_org_id_number_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tickets
    ADD CONSTRAINT tickets_org_id_number_key UNIQUE (org_id, number);


--
-- Name: tickets tickets_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tickets
    ADD CONSTRAINT tickets_pkey PRIMARY KEY (org_id, id);


--
-- Name: users users_email_key; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.users
    ADD CONSTRAINT users_email_key UNIQUE (email);


--
-- Name: users users_pkey; Type: CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);


--
-- Name: api_key_uses api_key_uses_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.api_key_uses
    ADD CONSTRAINT api_key_uses_pkey PRIMARY KEY (api_key_id);


--
-- Name: api_keys api_keys_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);


--
-- Name: api_keys api_keys_prefix_key; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.api_keys
    ADD CONSTRAINT api_keys_prefix_key UNIQUE (prefix);


--
-- Name: custom_references custom_references_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.custom_references
    ADD CONSTRAINT custom_references_pkey PRIMARY KEY (org_id, field_id, record_id);


--
-- Name: custom_unique_values custom_unique_values_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.custom_unique_values
    ADD CONSTRAINT custom_unique_values_pkey PRIMARY KEY (org_id, field_id, value);


--
-- Name: identity_providers identity_providers_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.identity_providers
    ADD CONSTRAINT identity_providers_pkey PRIMARY KEY (name);


--
-- Name: invitations invitations_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.invitations
    ADD CONSTRAINT invitations_pkey PRIMARY KEY (org_id, id);


--
-- Name: login_failures login_failures_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.login_failures
    ADD CONSTRAINT login_failures_pkey PRIMARY KEY (kind, subject);


--
-- Name: messages messages_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (id);


--
-- Name: oauth_flows oauth_flows_id_key; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.oauth_flows
    ADD CONSTRAINT oauth_flows_id_key UNIQUE (id);


--
-- Name: oauth_flows oauth_flows_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.oauth_flows
    ADD CONSTRAINT oauth_flows_pkey PRIMARY KEY (state_hash);


--
-- Name: one_time_tokens one_time_tokens_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.one_time_tokens
    ADD CONSTRAINT one_time_tokens_pkey PRIMARY KEY (hash);


--
-- Name: passwords passwords_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.passwords
    ADD CONSTRAINT passwords_pkey PRIMARY KEY (user_id);


--
-- Name: plan_overrides plan_overrides_org_id_name_kind_key; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.plan_overrides
    ADD CONSTRAINT plan_overrides_org_id_name_kind_key UNIQUE (org_id, name, kind);


--
-- Name: plan_overrides plan_overrides_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.plan_overrides
    ADD CONSTRAINT plan_overrides_pkey PRIMARY KEY (org_id, id);


--
-- Name: platform_members platform_members_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.platform_members
    ADD CONSTRAINT platform_members_pkey PRIMARY KEY (user_id);


--
-- Name: refresh_tokens refresh_tokens_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.refresh_tokens
    ADD CONSTRAINT refresh_tokens_pkey PRIMARY KEY (hash);


--
-- Name: schema_version schema_version_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);


--
-- Name: sessions sessions_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);


--
-- Name: settings settings_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (singleton);


--
-- Name: signing_keys signing_keys_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.signing_keys
    ADD CONSTRAINT signing_keys_pkey PRIMARY KEY (kid);


--
-- Name: usage_deltas usage_deltas_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.usage_deltas
    ADD CONSTRAINT usage_deltas_pkey PRIMARY KEY (org_id, resource, id);


--
-- Name: usage usage_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.usage
    ADD CONSTRAINT usage_pkey PRIMARY KEY (org_id, resource);


--
-- Name: user_identities user_identities_pkey; Type: CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.user_identities
    ADD CONSTRAINT user_identities_pkey PRIMARY KEY (provider, subject);


--
-- Name: accounts_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX accounts_org_id_created_at_id_idx ON crm.accounts USING btree (org_id, created_at, id);


--
-- Name: accounts_org_id_domain_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX accounts_org_id_domain_idx ON crm.accounts USING btree (org_id, domain);


--
-- Name: accounts_org_id_name_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX accounts_org_id_name_idx ON crm.accounts USING btree (org_id, name);


--
-- Name: accounts_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX accounts_org_id_owner_id_created_at_id_idx ON crm.accounts USING btree (org_id, owner_id, created_at, id);


--
-- Name: accounts_org_id_parent_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX accounts_org_id_parent_id_idx ON crm.accounts USING btree (org_id, parent_id) WHERE (parent_id IS NOT NULL);


--
-- Name: accounts_org_id_phone_normalized_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX accounts_org_id_phone_normalized_idx ON crm.accounts USING btree (org_id, phone_normalized);


--
-- Name: accounts_org_id_status_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX accounts_org_id_status_created_at_id_idx ON crm.accounts USING btree (org_id, status, created_at, id);


--
-- Name: accounts_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX accounts_org_id_updated_at_id_idx ON crm.accounts USING btree (org_id, updated_at, id);


--
-- Name: activities_org_id_account_id_occurred_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activities_org_id_account_id_occurred_at_idx ON crm.activities USING btree (org_id, account_id, occurred_at) WHERE (account_id IS NOT NULL);


--
-- Name: activities_org_id_contact_id_occurred_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activities_org_id_contact_id_occurred_at_idx ON crm.activities USING btree (org_id, contact_id, occurred_at) WHERE (contact_id IS NOT NULL);


--
-- Name: activities_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activities_org_id_created_at_id_idx ON crm.activities USING btree (org_id, created_at, id);


--
-- Name: activities_org_id_deal_id_occurred_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activities_org_id_deal_id_occurred_at_idx ON crm.activities USING btree (org_id, deal_id, occurred_at) WHERE (deal_id IS NOT NULL);


--
-- Name: activities_org_id_lead_id_occurred_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activities_org_id_lead_id_occurred_at_idx ON crm.activities USING btree (org_id, lead_id, occurred_at) WHERE (lead_id IS NOT NULL);


--
-- Name: activities_org_id_occurred_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activities_org_id_occurred_at_id_idx ON crm.activities USING btree (org_id, occurred_at, id);


--
-- Name: activities_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activities_org_id_owner_id_created_at_id_idx ON crm.activities USING btree (org_id, owner_id, created_at, id);


--
-- Name: activities_org_id_project_id_occurred_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activities_org_id_project_id_occurred_at_idx ON crm.activities USING btree (org_id, project_id, occurred_at) WHERE (project_id IS NOT NULL);


--
-- Name: activities_org_id_ticket_id_occurred_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activities_org_id_ticket_id_occurred_at_idx ON crm.activities USING btree (org_id, ticket_id, occurred_at) WHERE (ticket_id IS NOT NULL);


--
-- Name: activities_org_id_type_occurred_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activities_org_id_type_occurred_at_idx ON crm.activities USING btree (org_id, type, occurred_at);


--
-- Name: activities_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activities_org_id_updated_at_id_idx ON crm.activities USING btree (org_id, updated_at, id);


--
-- Name: activity_links_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activity_links_org_id_account_id_idx ON crm.activity_links USING btree (org_id, account_id) WHERE (account_id IS NOT NULL);


--
-- Name: activity_links_org_id_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activity_links_org_id_contact_id_idx ON crm.activity_links USING btree (org_id, contact_id) WHERE (contact_id IS NOT NULL);


--
-- Name: activity_links_org_id_deal_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activity_links_org_id_deal_id_idx ON crm.activity_links USING btree (org_id, deal_id) WHERE (deal_id IS NOT NULL);


--
-- Name: activity_links_org_id_lead_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activity_links_org_id_lead_id_idx ON crm.activity_links USING btree (org_id, lead_id) WHERE (lead_id IS NOT NULL);


--
-- Name: activity_links_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activity_links_org_id_owner_id_created_at_id_idx ON crm.activity_links USING btree (org_id, owner_id, created_at, id);


--
-- Name: activity_links_org_id_project_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activity_links_org_id_project_id_idx ON crm.activity_links USING btree (org_id, project_id) WHERE (project_id IS NOT NULL);


--
-- Name: activity_links_org_id_ticket_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX activity_links_org_id_ticket_id_idx ON crm.activity_links USING btree (org_id, ticket_id) WHERE (ticket_id IS NOT NULL);


--
-- Name: appointment_attendees_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointment_attendees_org_id_owner_id_created_at_id_idx ON crm.appointment_attendees USING btree (org_id, owner_id, created_at, id);


--
-- Name: appointments_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_account_id_idx ON crm.appointments USING btree (org_id, account_id) WHERE (account_id IS NOT NULL);


--
-- Name: appointments_org_id_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_contact_id_idx ON crm.appointments USING btree (org_id, contact_id) WHERE (contact_id IS NOT NULL);


--
-- Name: appointments_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_created_at_id_idx ON crm.appointments USING btree (org_id, created_at, id);


--
-- Name: appointments_org_id_deal_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_deal_id_idx ON crm.appointments USING btree (org_id, deal_id) WHERE (deal_id IS NOT NULL);


--
-- Name: appointments_org_id_lead_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_lead_id_idx ON crm.appointments USING btree (org_id, lead_id) WHERE (lead_id IS NOT NULL);


--
-- Name: appointments_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_owner_id_created_at_id_idx ON crm.appointments USING btree (org_id, owner_id, created_at, id);


--
-- Name: appointments_org_id_owner_id_starts_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_owner_id_starts_at_idx ON crm.appointments USING btree (org_id, owner_id, starts_at);


--
-- Name: appointments_org_id_project_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_project_id_idx ON crm.appointments USING btree (org_id, project_id) WHERE (project_id IS NOT NULL);


--
-- Name: appointments_org_id_remind_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_remind_at_idx ON crm.appointments USING btree (org_id, remind_at) WHERE (remind_at IS NOT NULL);


--
-- Name: appointments_org_id_starts_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_starts_at_id_idx ON crm.appointments USING btree (org_id, starts_at, id);


--
-- Name: appointments_org_id_ticket_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_ticket_id_idx ON crm.appointments USING btree (org_id, ticket_id) WHERE (ticket_id IS NOT NULL);


--
-- Name: appointments_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX appointments_org_id_updated_at_id_idx ON crm.appointments USING btree (org_id, updated_at, id);


--
-- Name: attachments_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_account_id_idx ON crm.attachments USING btree (org_id, account_id) WHERE (account_id IS NOT NULL);


--
-- Name: attachments_org_id_activity_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_activity_id_idx ON crm.attachments USING btree (org_id, activity_id) WHERE (activity_id IS NOT NULL);


--
-- Name: attachments_org_id_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_contact_id_idx ON crm.attachments USING btree (org_id, contact_id) WHERE (contact_id IS NOT NULL);


--
-- Name: attachments_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_created_at_id_idx ON crm.attachments USING btree (org_id, created_at, id);


--
-- Name: attachments_org_id_deal_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_deal_id_idx ON crm.attachments USING btree (org_id, deal_id) WHERE (deal_id IS NOT NULL);


--
-- Name: attachments_org_id_estimate_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_estimate_id_idx ON crm.attachments USING btree (org_id, estimate_id) WHERE (estimate_id IS NOT NULL);


--
-- Name: attachments_org_id_invoice_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_invoice_id_idx ON crm.attachments USING btree (org_id, invoice_id) WHERE (invoice_id IS NOT NULL);


--
-- Name: attachments_org_id_job_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_job_id_idx ON crm.attachments USING btree (org_id, job_id) WHERE (job_id IS NOT NULL);


--
-- Name: attachments_org_id_lead_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_lead_id_idx ON crm.attachments USING btree (org_id, lead_id) WHERE (lead_id IS NOT NULL);


--
-- Name: attachments_org_id_message_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_message_id_idx ON crm.attachments USING btree (org_id, message_id) WHERE (message_id IS NOT NULL);


--
-- Name: attachments_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_owner_id_created_at_id_idx ON crm.attachments USING btree (org_id, owner_id, created_at, id);


--
-- Name: attachments_org_id_project_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_project_id_idx ON crm.attachments USING btree (org_id, project_id) WHERE (project_id IS NOT NULL);


--
-- Name: attachments_org_id_task_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_task_id_idx ON crm.attachments USING btree (org_id, task_id) WHERE (task_id IS NOT NULL);


--
-- Name: attachments_org_id_ticket_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_ticket_id_idx ON crm.attachments USING btree (org_id, ticket_id) WHERE (ticket_id IS NOT NULL);


--
-- Name: attachments_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX attachments_org_id_updated_at_id_idx ON crm.attachments USING btree (org_id, updated_at, id);


--
-- Name: automations_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX automations_org_id_created_at_id_idx ON crm.automations USING btree (org_id, created_at, id);


--
-- Name: automations_org_id_trigger_event_run_order_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX automations_org_id_trigger_event_run_order_idx ON crm.automations USING btree (org_id, trigger_event, run_order);


--
-- Name: automations_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX automations_org_id_updated_at_id_idx ON crm.automations USING btree (org_id, updated_at, id);


--
-- Name: contact_accounts_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contact_accounts_org_id_account_id_idx ON crm.contact_accounts USING btree (org_id, account_id);


--
-- Name: contact_accounts_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contact_accounts_org_id_owner_id_created_at_id_idx ON crm.contact_accounts USING btree (org_id, owner_id, created_at, id);


--
-- Name: contact_emails_org_id_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contact_emails_org_id_contact_id_idx ON crm.contact_emails USING btree (org_id, contact_id);


--
-- Name: contact_emails_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contact_emails_org_id_owner_id_created_at_id_idx ON crm.contact_emails USING btree (org_id, owner_id, created_at, id);


--
-- Name: contact_phones_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contact_phones_org_id_owner_id_created_at_id_idx ON crm.contact_phones USING btree (org_id, owner_id, created_at, id);


--
-- Name: contact_phones_org_id_phone_normalized_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contact_phones_org_id_phone_normalized_idx ON crm.contact_phones USING btree (org_id, phone_normalized) WHERE (phone_normalized IS NOT NULL);


--
-- Name: contacts_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contacts_org_id_account_id_idx ON crm.contacts USING btree (org_id, account_id) WHERE (account_id IS NOT NULL);


--
-- Name: contacts_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contacts_org_id_created_at_id_idx ON crm.contacts USING btree (org_id, created_at, id);


--
-- Name: contacts_org_id_last_name_first_name_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contacts_org_id_last_name_first_name_idx ON crm.contacts USING btree (org_id, last_name, first_name);


--
-- Name: contacts_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contacts_org_id_owner_id_created_at_id_idx ON crm.contacts USING btree (org_id, owner_id, created_at, id);


--
-- Name: contacts_org_id_phone_normalized_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contacts_org_id_phone_normalized_idx ON crm.contacts USING btree (org_id, phone_normalized);


--
-- Name: contacts_org_id_status_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contacts_org_id_status_created_at_id_idx ON crm.contacts USING btree (org_id, status, created_at, id);


--
-- Name: contacts_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX contacts_org_id_updated_at_id_idx ON crm.contacts USING btree (org_id, updated_at, id);


--
-- Name: daily_metrics_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX daily_metrics_org_id_created_at_id_idx ON crm.daily_metrics USING btree (org_id, created_at, id);


--
-- Name: daily_metrics_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX daily_metrics_org_id_updated_at_id_idx ON crm.daily_metrics USING btree (org_id, updated_at, id);


--
-- Name: deal_contacts_org_id_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deal_contacts_org_id_contact_id_idx ON crm.deal_contacts USING btree (org_id, contact_id);


--
-- Name: deal_contacts_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deal_contacts_org_id_owner_id_created_at_id_idx ON crm.deal_contacts USING btree (org_id, owner_id, created_at, id);


--
-- Name: deal_stage_changes_org_id_changed_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deal_stage_changes_org_id_changed_at_id_idx ON crm.deal_stage_changes USING btree (org_id, changed_at, id);


--
-- Name: deal_stage_changes_org_id_deal_id_changed_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deal_stage_changes_org_id_deal_id_changed_at_id_idx ON crm.deal_stage_changes USING btree (org_id, deal_id, changed_at, id);


--
-- Name: deal_stage_changes_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deal_stage_changes_org_id_owner_id_created_at_id_idx ON crm.deal_stage_changes USING btree (org_id, owner_id, created_at, id);


--
-- Name: deals_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deals_org_id_account_id_idx ON crm.deals USING btree (org_id, account_id) WHERE (account_id IS NOT NULL);


--
-- Name: deals_org_id_amount_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deals_org_id_amount_id_idx ON crm.deals USING btree (org_id, amount, id);


--
-- Name: deals_org_id_closed_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deals_org_id_closed_at_id_idx ON crm.deals USING btree (org_id, closed_at, id);


--
-- Name: deals_org_id_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deals_org_id_contact_id_idx ON crm.deals USING btree (org_id, contact_id) WHERE (contact_id IS NOT NULL);


--
-- Name: deals_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deals_org_id_created_at_id_idx ON crm.deals USING btree (org_id, created_at, id);


--
-- Name: deals_org_id_name_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deals_org_id_name_idx ON crm.deals USING btree (org_id, name);


--
-- Name: deals_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deals_org_id_owner_id_created_at_id_idx ON crm.deals USING btree (org_id, owner_id, created_at, id);


--
-- Name: deals_org_id_pipeline_id_stage_id_status_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deals_org_id_pipeline_id_stage_id_status_idx ON crm.deals USING btree (org_id, pipeline_id, stage_id, status);


--
-- Name: deals_org_id_stage_id_position_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deals_org_id_stage_id_position_id_idx ON crm.deals USING btree (org_id, stage_id, "position", id);


--
-- Name: deals_org_id_status_expected_close_date_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deals_org_id_status_expected_close_date_id_idx ON crm.deals USING btree (org_id, status, expected_close_date, id);


--
-- Name: deals_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX deals_org_id_updated_at_id_idx ON crm.deals USING btree (org_id, updated_at, id);


--
-- Name: estimate_items_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX estimate_items_org_id_created_at_id_idx ON crm.estimate_items USING btree (org_id, created_at, id);


--
-- Name: estimate_items_org_id_estimate_id_position_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX estimate_items_org_id_estimate_id_position_id_idx ON crm.estimate_items USING btree (org_id, estimate_id, "position", id);


--
-- Name: estimate_items_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX estimate_items_org_id_owner_id_created_at_id_idx ON crm.estimate_items USING btree (org_id, owner_id, created_at, id);


--
-- Name: estimate_items_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX estimate_items_org_id_updated_at_id_idx ON crm.estimate_items USING btree (org_id, updated_at, id);


--
-- Name: estimates_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX estimates_org_id_account_id_idx ON crm.estimates USING btree (org_id, account_id) WHERE (account_id IS NOT NULL);


--
-- Name: estimates_org_id_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX estimates_org_id_contact_id_idx ON crm.estimates USING btree (org_id, contact_id) WHERE (contact_id IS NOT NULL);


--
-- Name: estimates_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX estimates_org_id_created_at_id_idx ON crm.estimates USING btree (org_id, created_at, id);


--
-- Name: estimates_org_id_deal_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX estimates_org_id_deal_id_idx ON crm.estimates USING btree (org_id, deal_id) WHERE (deal_id IS NOT NULL);


--
-- Name: estimates_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX estimates_org_id_owner_id_created_at_id_idx ON crm.estimates USING btree (org_id, owner_id, created_at, id);


--
-- Name: estimates_org_id_status_issue_date_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX estimates_org_id_status_issue_date_id_idx ON crm.estimates USING btree (org_id, status, issue_date, id);


--
-- Name: estimates_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX estimates_org_id_updated_at_id_idx ON crm.estimates USING btree (org_id, updated_at, id);


--
-- Name: group_members_org_id_user_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX group_members_org_id_user_id_idx ON crm.group_members USING btree (org_id, user_id);


--
-- Name: group_roles_org_id_role_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX group_roles_org_id_role_idx ON crm.group_roles USING btree (org_id, role);


--
-- Name: invoice_items_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoice_items_org_id_created_at_id_idx ON crm.invoice_items USING btree (org_id, created_at, id);


--
-- Name: invoice_items_org_id_invoice_id_position_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoice_items_org_id_invoice_id_position_id_idx ON crm.invoice_items USING btree (org_id, invoice_id, "position", id);


--
-- Name: invoice_items_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoice_items_org_id_owner_id_created_at_id_idx ON crm.invoice_items USING btree (org_id, owner_id, created_at, id);


--
-- Name: invoice_items_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoice_items_org_id_updated_at_id_idx ON crm.invoice_items USING btree (org_id, updated_at, id);


--
-- Name: invoices_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoices_org_id_account_id_idx ON crm.invoices USING btree (org_id, account_id) WHERE (account_id IS NOT NULL);


--
-- Name: invoices_org_id_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoices_org_id_contact_id_idx ON crm.invoices USING btree (org_id, contact_id) WHERE (contact_id IS NOT NULL);


--
-- Name: invoices_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoices_org_id_created_at_id_idx ON crm.invoices USING btree (org_id, created_at, id);


--
-- Name: invoices_org_id_deal_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoices_org_id_deal_id_idx ON crm.invoices USING btree (org_id, deal_id) WHERE (deal_id IS NOT NULL);


--
-- Name: invoices_org_id_estimate_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoices_org_id_estimate_id_idx ON crm.invoices USING btree (org_id, estimate_id) WHERE (estimate_id IS NOT NULL);


--
-- Name: invoices_org_id_issue_date_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoices_org_id_issue_date_id_idx ON crm.invoices USING btree (org_id, issue_date, id);


--
-- Name: invoices_org_id_job_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoices_org_id_job_id_idx ON crm.invoices USING btree (org_id, job_id) WHERE (job_id IS NOT NULL);


--
-- Name: invoices_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoices_org_id_owner_id_created_at_id_idx ON crm.invoices USING btree (org_id, owner_id, created_at, id);


--
-- Name: invoices_org_id_project_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoices_org_id_project_id_idx ON crm.invoices USING btree (org_id, project_id) WHERE (project_id IS NOT NULL);


--
-- Name: invoices_org_id_status_due_date_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoices_org_id_status_due_date_id_idx ON crm.invoices USING btree (org_id, status, due_date, id);


--
-- Name: invoices_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX invoices_org_id_updated_at_id_idx ON crm.invoices USING btree (org_id, updated_at, id);


--
-- Name: jobs_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX jobs_org_id_account_id_idx ON crm.jobs USING btree (org_id, account_id) WHERE (account_id IS NOT NULL);


--
-- Name: jobs_org_id_assignee_id_scheduled_start_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX jobs_org_id_assignee_id_scheduled_start_idx ON crm.jobs USING btree (org_id, assignee_id, scheduled_start) WHERE (assignee_id IS NOT NULL);


--
-- Name: jobs_org_id_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX jobs_org_id_contact_id_idx ON crm.jobs USING btree (org_id, contact_id) WHERE (contact_id IS NOT NULL);


--
-- Name: jobs_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX jobs_org_id_created_at_id_idx ON crm.jobs USING btree (org_id, created_at, id);


--
-- Name: jobs_org_id_deal_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX jobs_org_id_deal_id_idx ON crm.jobs USING btree (org_id, deal_id) WHERE (deal_id IS NOT NULL);


--
-- Name: jobs_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX jobs_org_id_owner_id_created_at_id_idx ON crm.jobs USING btree (org_id, owner_id, created_at, id);


--
-- Name: jobs_org_id_project_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX jobs_org_id_project_id_idx ON crm.jobs USING btree (org_id, project_id) WHERE (project_id IS NOT NULL);


--
-- Name: jobs_org_id_scheduled_start_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX jobs_org_id_scheduled_start_id_idx ON crm.jobs USING btree (org_id, scheduled_start, id);


--
-- Name: jobs_org_id_status_scheduled_start_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX jobs_org_id_status_scheduled_start_idx ON crm.jobs USING btree (org_id, status, scheduled_start);


--
-- Name: jobs_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX jobs_org_id_updated_at_id_idx ON crm.jobs USING btree (org_id, updated_at, id);


--
-- Name: leads_org_id_company_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_company_idx ON crm.leads USING btree (org_id, company);


--
-- Name: leads_org_id_converted_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_converted_account_id_idx ON crm.leads USING btree (org_id, converted_account_id) WHERE (converted_account_id IS NOT NULL);


--
-- Name: leads_org_id_converted_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_converted_contact_id_idx ON crm.leads USING btree (org_id, converted_contact_id) WHERE (converted_contact_id IS NOT NULL);


--
-- Name: leads_org_id_converted_deal_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_converted_deal_id_idx ON crm.leads USING btree (org_id, converted_deal_id) WHERE (converted_deal_id IS NOT NULL);


--
-- Name: leads_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_created_at_id_idx ON crm.leads USING btree (org_id, created_at, id);


--
-- Name: leads_org_id_email_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_email_idx ON crm.leads USING btree (org_id, email);


--
-- Name: leads_org_id_last_name_first_name_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_last_name_first_name_idx ON crm.leads USING btree (org_id, last_name, first_name);


--
-- Name: leads_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_owner_id_created_at_id_idx ON crm.leads USING btree (org_id, owner_id, created_at, id);


--
-- Name: leads_org_id_phone_normalized_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_phone_normalized_idx ON crm.leads USING btree (org_id, phone_normalized) WHERE (phone_normalized IS NOT NULL);


--
-- Name: leads_org_id_score_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_score_id_idx ON crm.leads USING btree (org_id, score, id);


--
-- Name: leads_org_id_status_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_status_created_at_id_idx ON crm.leads USING btree (org_id, status, created_at, id);


--
-- Name: leads_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX leads_org_id_updated_at_id_idx ON crm.leads USING btree (org_id, updated_at, id);


--
-- Name: memberships_org_id_role_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX memberships_org_id_role_idx ON crm.memberships USING btree (org_id, role);


--
-- Name: memberships_user_id_org_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX memberships_user_id_org_id_idx ON crm.memberships USING btree (user_id, org_id);


--
-- Name: messages_org_id_account_id_created_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX messages_org_id_account_id_created_at_idx ON crm.messages USING btree (org_id, account_id, created_at) WHERE (account_id IS NOT NULL);


--
-- Name: messages_org_id_channel_created_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX messages_org_id_channel_created_at_idx ON crm.messages USING btree (org_id, channel, created_at);


--
-- Name: messages_org_id_contact_id_created_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX messages_org_id_contact_id_created_at_idx ON crm.messages USING btree (org_id, contact_id, created_at) WHERE (contact_id IS NOT NULL);


--
-- Name: messages_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX messages_org_id_created_at_id_idx ON crm.messages USING btree (org_id, created_at, id);


--
-- Name: messages_org_id_deal_id_created_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX messages_org_id_deal_id_created_at_idx ON crm.messages USING btree (org_id, deal_id, created_at) WHERE (deal_id IS NOT NULL);


--
-- Name: messages_org_id_lead_id_created_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX messages_org_id_lead_id_created_at_idx ON crm.messages USING btree (org_id, lead_id, created_at) WHERE (lead_id IS NOT NULL);


--
-- Name: messages_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX messages_org_id_owner_id_created_at_id_idx ON crm.messages USING btree (org_id, owner_id, created_at, id);


--
-- Name: messages_org_id_status_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX messages_org_id_status_created_at_id_idx ON crm.messages USING btree (org_id, status, created_at, id);


--
-- Name: messages_org_id_thread_id_created_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX messages_org_id_thread_id_created_at_idx ON crm.messages USING btree (org_id, thread_id, created_at) WHERE (thread_id IS NOT NULL);


--
-- Name: messages_org_id_ticket_id_created_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX messages_org_id_ticket_id_created_at_idx ON crm.messages USING btree (org_id, ticket_id, created_at) WHERE (ticket_id IS NOT NULL);


--
-- Name: messages_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX messages_org_id_updated_at_id_idx ON crm.messages USING btree (org_id, updated_at, id);


--
-- Name: notifications_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX notifications_org_id_created_at_id_idx ON crm.notifications USING btree (org_id, created_at, id);


--
-- Name: notifications_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX notifications_org_id_owner_id_created_at_id_idx ON crm.notifications USING btree (org_id, owner_id, created_at, id);


--
-- Name: notifications_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX notifications_org_id_updated_at_id_idx ON crm.notifications USING btree (org_id, updated_at, id);


--
-- Name: notifications_org_id_user_id_read_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX notifications_org_id_user_id_read_at_idx ON crm.notifications USING btree (org_id, user_id, read_at);


--
-- Name: number_series_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX number_series_org_id_created_at_id_idx ON crm.number_series USING btree (org_id, created_at, id);


--
-- Name: number_series_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX number_series_org_id_updated_at_id_idx ON crm.number_series USING btree (org_id, updated_at, id);


--
-- Name: organizations_plan_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX organizations_plan_idx ON crm.organizations USING btree (plan);


--
-- Name: payments_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX payments_org_id_account_id_idx ON crm.payments USING btree (org_id, account_id) WHERE (account_id IS NOT NULL);


--
-- Name: payments_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX payments_org_id_created_at_id_idx ON crm.payments USING btree (org_id, created_at, id);


--
-- Name: payments_org_id_invoice_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX payments_org_id_invoice_id_idx ON crm.payments USING btree (org_id, invoice_id);


--
-- Name: payments_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX payments_org_id_owner_id_created_at_id_idx ON crm.payments USING btree (org_id, owner_id, created_at, id);


--
-- Name: payments_org_id_paid_on_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX payments_org_id_paid_on_id_idx ON crm.payments USING btree (org_id, paid_on, id);


--
-- Name: payments_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX payments_org_id_updated_at_id_idx ON crm.payments USING btree (org_id, updated_at, id);


--
-- Name: pipeline_stages_org_id_pipeline_id_position_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX pipeline_stages_org_id_pipeline_id_position_id_idx ON crm.pipeline_stages USING btree (org_id, pipeline_id, "position", id);


--
-- Name: pipelines_org_id_position_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX pipelines_org_id_position_id_idx ON crm.pipelines USING btree (org_id, "position", id);


--
-- Name: projects_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX projects_org_id_account_id_idx ON crm.projects USING btree (org_id, account_id) WHERE (account_id IS NOT NULL);


--
-- Name: projects_org_id_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX projects_org_id_contact_id_idx ON crm.projects USING btree (org_id, contact_id) WHERE (contact_id IS NOT NULL);


--
-- Name: projects_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX projects_org_id_created_at_id_idx ON crm.projects USING btree (org_id, created_at, id);


--
-- Name: projects_org_id_deal_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX projects_org_id_deal_id_idx ON crm.projects USING btree (org_id, deal_id) WHERE (deal_id IS NOT NULL);


--
-- Name: projects_org_id_name_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX projects_org_id_name_idx ON crm.projects USING btree (org_id, name);


--
-- Name: projects_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX projects_org_id_owner_id_created_at_id_idx ON crm.projects USING btree (org_id, owner_id, created_at, id);


--
-- Name: projects_org_id_status_ends_on_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX projects_org_id_status_ends_on_idx ON crm.projects USING btree (org_id, status, ends_on);


--
-- Name: projects_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX projects_org_id_updated_at_id_idx ON crm.projects USING btree (org_id, updated_at, id);


--
-- Name: saved_filters_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX saved_filters_org_id_created_at_id_idx ON crm.saved_filters USING btree (org_id, created_at, id);


--
-- Name: saved_filters_org_id_entity_name_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX saved_filters_org_id_entity_name_idx ON crm.saved_filters USING btree (org_id, entity, name);


--
-- Name: saved_filters_org_id_group_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX saved_filters_org_id_group_id_idx ON crm.saved_filters USING btree (org_id, group_id) WHERE (group_id IS NOT NULL);


--
-- Name: saved_filters_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX saved_filters_org_id_owner_id_created_at_id_idx ON crm.saved_filters USING btree (org_id, owner_id, created_at, id);


--
-- Name: saved_filters_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX saved_filters_org_id_updated_at_id_idx ON crm.saved_filters USING btree (org_id, updated_at, id);


--
-- Name: tasks_org_id_account_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_account_id_idx ON crm.tasks USING btree (org_id, account_id) WHERE (account_id IS NOT NULL);


--
-- Name: tasks_org_id_assignee_id_status_due_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_assignee_id_status_due_at_idx ON crm.tasks USING btree (org_id, assignee_id, status, due_at) WHERE (assignee_id IS NOT NULL);


--
-- Name: tasks_org_id_contact_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_contact_id_idx ON crm.tasks USING btree (org_id, contact_id) WHERE (contact_id IS NOT NULL);


--
-- Name: tasks_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_created_at_id_idx ON crm.tasks USING btree (org_id, created_at, id);


--
-- Name: tasks_org_id_deal_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_deal_id_idx ON crm.tasks USING btree (org_id, deal_id) WHERE (deal_id IS NOT NULL);


--
-- Name: tasks_org_id_due_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_due_at_id_idx ON crm.tasks USING btree (org_id, due_at, id);


--
-- Name: tasks_org_id_lead_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_lead_id_idx ON crm.tasks USING btree (org_id, lead_id) WHERE (lead_id IS NOT NULL);


--
-- Name: tasks_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_owner_id_created_at_id_idx ON crm.tasks USING btree (org_id, owner_id, created_at, id);


--
-- Name: tasks_org_id_project_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_project_id_idx ON crm.tasks USING btree (org_id, project_id) WHERE (project_id IS NOT NULL);


--
-- Name: tasks_org_id_remind_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_remind_at_idx ON crm.tasks USING btree (org_id, remind_at) WHERE (remind_at IS NOT NULL);


--
-- Name: tasks_org_id_status_due_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_status_due_at_idx ON crm.tasks USING btree (org_id, status, due_at);


--
-- Name: tasks_org_id_ticket_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_ticket_id_idx ON crm.tasks USING btree (org_id, ticket_id) WHERE (ticket_id IS NOT NULL);


--
-- Name: tasks_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tasks_org_id_updated_at_id_idx ON crm.tasks USING btree (org_id, updated_at, id);


--
-- Name: tickets_org_id_account_id_created_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tickets_org_id_account_id_created_at_idx ON crm.tickets USING btree (org_id, account_id, created_at) WHERE (account_id IS NOT NULL);


--
-- Name: tickets_org_id_assignee_id_status_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tickets_org_id_assignee_id_status_idx ON crm.tickets USING btree (org_id, assignee_id, status) WHERE (assignee_id IS NOT NULL);


--
-- Name: tickets_org_id_contact_id_created_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tickets_org_id_contact_id_created_at_idx ON crm.tickets USING btree (org_id, contact_id, created_at) WHERE (contact_id IS NOT NULL);


--
-- Name: tickets_org_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tickets_org_id_created_at_id_idx ON crm.tickets USING btree (org_id, created_at, id);


--
-- Name: tickets_org_id_owner_id_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tickets_org_id_owner_id_created_at_id_idx ON crm.tickets USING btree (org_id, owner_id, created_at, id);


--
-- Name: tickets_org_id_sla_due_at_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tickets_org_id_sla_due_at_idx ON crm.tickets USING btree (org_id, sla_due_at) WHERE (sla_due_at IS NOT NULL);


--
-- Name: tickets_org_id_status_created_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tickets_org_id_status_created_at_id_idx ON crm.tickets USING btree (org_id, status, created_at, id);


--
-- Name: tickets_org_id_updated_at_id_idx; Type: INDEX; Schema: crm; Owner: crm_owner
--

CREATE INDEX tickets_org_id_updated_at_id_idx ON crm.tickets USING btree (org_id, updated_at, id);


--
-- Name: api_keys_created_by_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX api_keys_created_by_idx ON crm_private.api_keys USING btree (created_by);


--
-- Name: api_keys_org_id_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX api_keys_org_id_idx ON crm_private.api_keys USING btree (org_id);


--
-- Name: custom_references_org_id_target_id_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX custom_references_org_id_target_id_idx ON crm_private.custom_references USING btree (org_id, target_id);


--
-- Name: invitations_expires_at_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX invitations_expires_at_idx ON crm_private.invitations USING btree (expires_at);


--
-- Name: invitations_invited_by_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX invitations_invited_by_idx ON crm_private.invitations USING btree (invited_by);


--
-- Name: invitations_org_id_email_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX invitations_org_id_email_idx ON crm_private.invitations USING btree (org_id, email);


--
-- Name: invitations_org_id_role_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX invitations_org_id_role_idx ON crm_private.invitations USING btree (org_id, role);


--
-- Name: login_failures_window_started_at_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX login_failures_window_started_at_idx ON crm_private.login_failures USING btree (window_started_at);


--
-- Name: messages_expires_at_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX messages_expires_at_idx ON crm_private.messages USING btree (expires_at);


--
-- Name: messages_org_id_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX messages_org_id_idx ON crm_private.messages USING btree (org_id);


--
-- Name: messages_waiting_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX messages_waiting_idx ON crm_private.messages USING btree (id) WHERE (finished_at IS NULL);


--
-- Name: oauth_flows_expires_at_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX oauth_flows_expires_at_idx ON crm_private.oauth_flows USING btree (expires_at);


--
-- Name: oauth_flows_provider_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX oauth_flows_provider_idx ON crm_private.oauth_flows USING btree (provider);


--
-- Name: oauth_flows_waiting_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX oauth_flows_waiting_idx ON crm_private.oauth_flows USING btree (id) WHERE (status = 'waiting'::text);


--
-- Name: one_time_tokens_expires_at_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX one_time_tokens_expires_at_idx ON crm_private.one_time_tokens USING btree (expires_at);


--
-- Name: one_time_tokens_org_id_invitation_id_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX one_time_tokens_org_id_invitation_id_idx ON crm_private.one_time_tokens USING btree (org_id, invitation_id);


--
-- Name: one_time_tokens_user_id_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX one_time_tokens_user_id_idx ON crm_private.one_time_tokens USING btree (user_id);


--
-- Name: refresh_tokens_session_id_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX refresh_tokens_session_id_idx ON crm_private.refresh_tokens USING btree (session_id);


--
-- Name: sessions_actor_id_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX sessions_actor_id_idx ON crm_private.sessions USING btree (actor_id);


--
-- Name: sessions_end_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX sessions_end_idx ON crm_private.sessions USING btree (COALESCE(ended_at, expires_at));


--
-- Name: sessions_org_id_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX sessions_org_id_idx ON crm_private.sessions USING btree (org_id);


--
-- Name: sessions_user_id_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX sessions_user_id_idx ON crm_private.sessions USING btree (user_id);


--
-- Name: signing_keys_active_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE UNIQUE INDEX signing_keys_active_idx ON crm_private.signing_keys USING btree (((retired_at IS NULL))) WHERE (retired_at IS NULL);


--
-- Name: user_identities_user_id_idx; Type: INDEX; Schema: crm_private; Owner: crm_owner
--

CREATE INDEX user_identities_user_id_idx ON crm_private.user_identities USING btree (user_id);


--
-- Name: deals _050_stage; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _050_stage BEFORE INSERT OR UPDATE ON crm.deals FOR EACH ROW EXECUTE FUNCTION crm_private.place_deal();


--
-- Name: accounts _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.accounts FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('name required line 200', 'domain domain', 'website url', 'industry line 100', 'currency currency', 'email email', 'phone phone phone_normalized', 'tax_id line 50', 'billing_street text 500', 'billing_city line 100', 'billing_state line 100', 'billing_postal_code line 20', 'billing_country country', 'shipping_street text 500', 'shipping_city line 100', 'shipping_state line 100', 'shipping_postal_code line 20', 'shipping_country country', 'linkedin_url url', 'description text 20000', 'external_id line 200');


--
-- Name: activities _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.activities FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('subject required line 300', 'body html 100000', 'outcome line 200', 'external_id line 200');


--
-- Name: appointment_attendees _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.appointment_attendees FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('email email', 'name line 200', 'answered_at since answer accepted,declined,tentative');


--
-- Name: appointments _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.appointments FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('title required line 300', 'description html 100000', 'time_zone time_zone', 'location line 500', 'meeting_url url', 'external_id line 200', 'status steps *:tentative,confirmed,completed tentative:confirmed,cancelled confirmed:tentative,completed,cancelled,no_show completed:confirmed,no_show cancelled:tentative,confirmed no_show:confirmed,completed');


--
-- Name: attachments _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.attachments FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('file_name required line 255', 'content_type required mime', 'storage_key required line 1000', 'storage_url url', 'description text 2000', 'external_id line 200');


--
-- Name: automations _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.automations FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('name required line 100', 'description text 1000', 'trigger_event required line 127', 'external_id line 200');


--
-- Name: contact_accounts _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.contact_accounts FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('role line 100');


--
-- Name: contact_emails _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.contact_emails FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('email required email');


--
-- Name: contact_phones _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.contact_phones FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('phone required phone phone_normalized');


--
-- Name: contacts _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.contacts FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('salutation line 50', 'first_name line 100', 'last_name required line 100', 'title line 200', 'department line 200', 'lead_source line 100', 'email email', 'phone phone phone_normalized', 'linkedin_url url', 'avatar_url url', 'street text 500', 'city line 100', 'state line 100', 'postal_code line 20', 'country country', 'description text 20000', 'external_id line 200');


--
-- Name: custom_fields _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.custom_fields FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('label required line 200', 'description text 1000');


--
-- Name: deal_contacts _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.deal_contacts FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('role line 100');


--
-- Name: deals _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.deals FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('name required line 200', 'currency currency', 'lost_reason line 500', 'source line 100', 'next_step line 500', 'description text 20000', 'external_id line 200', 'status steps *:open,won,lost open:won,lost won:open lost:open', 'closed_at since status won,lost', 'stage_changed_at since stage_id *');


--
-- Name: estimate_items _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.estimate_items FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('description required text 5000', 'unit line 20', 'discount_amount kept', 'line_total kept', 'external_id line 200');


--
-- Name: estimates _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.estimates FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('number kept', 'title line 200', 'status steps *:draft draft:sent sent:draft,accepted,declined,expired accepted: declined:draft expired:draft', 'currency currency', 'notes text 20000', 'terms text 20000', 'subtotal kept', 'discount_total kept', 'tax_total kept', 'total kept', 'taxes kept', 'sent_at since status sent,accepted,declined,expired', 'accepted_at since status accepted', 'declined_at since status declined', 'external_id line 200');


--
-- Name: group_permissions _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.group_permissions FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('permission required line 127');


--
-- Name: groups _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.groups FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('name required line 100', 'description text 1000', 'external_id line 200');


--
-- Name: invoice_items _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.invoice_items FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('description required text 5000', 'unit line 20', 'discount_amount kept', 'line_total kept', 'external_id line 200');


--
-- Name: invoices _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.invoices FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('number kept', 'title line 200', 'status steps *:draft draft:sent sent:overdue,void partially_paid:overdue overdue:sent,void paid: void:', 'currency currency', 'purchase_order line 100', 'billing_name line 200', 'billing_street text 500', 'billing_city line 100', 'billing_state line 100', 'billing_postal_code line 20', 'billing_country country', 'notes text 20000', 'terms text 20000', 'subtotal kept', 'discount_total kept', 'tax_total kept', 'total kept', 'taxes kept', 'amount_paid kept', 'balance_due kept', 'sent_at since status sent,partially_paid,paid,overdue,void', 'paid_at since status paid', 'voided_at since status void', 'external_id line 200');


--
-- Name: jobs _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.jobs FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('title required line 200', 'description html 100000', 'type line 100', 'assignee_id owner', 'street text 500', 'city line 100', 'state line 100', 'postal_code line 20', 'country country', 'currency currency', 'external_id line 200', 'status steps *:scheduled,in_progress scheduled:in_progress,on_hold,completed,cancelled in_progress:scheduled,on_hold,completed,cancelled on_hold:scheduled,in_progress,completed,cancelled completed:in_progress cancelled:scheduled', 'completed_at since status completed');


--
-- Name: leads _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.leads FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('salutation line 50', 'first_name line 100', 'last_name line 100', 'company line 200', 'title line 200', 'email email', 'phone phone phone_normalized', 'website url', 'industry line 100', 'source line 100', 'currency currency', 'campaign line 200', 'utm_source line 200', 'utm_medium line 200', 'utm_campaign line 200', 'utm_term line 200', 'utm_content line 200', 'linkedin_url url', 'street text 500', 'city line 100', 'state line 100', 'postal_code line 20', 'country country', 'lost_reason line 500', 'description text 20000', 'external_id line 200', 'status steps *:new,working,qualified,recycled,lost new:working,qualified,converted,recycled,lost working:qualified,converted,recycled,lost qualified:working,converted,recycled,lost recycled:working,qualified,lost lost:recycled,working converted:', 'converted_at since status converted');


--
-- Name: messages _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.messages FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('thread_id line 500', 'from_address line 320', 'to_addresses lines 320', 'cc_addresses lines 320', 'subject line 1000', 'body text 500000', 'body_html html 500000', 'error text 2000', 'source_id line 1000', 'in_reply_to line 1000', 'external_id line 200', 'status steps *:draft,queued,sent,delivered,read,failed,received draft:queued,sent queued:draft,sent,failed sent:delivered,read,failed delivered:read,failed failed:draft,queued received:read read:');


--
-- Name: notifications _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.notifications FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('user_id owner', 'kind required key', 'title required line 200', 'body text 2000', 'entity key');


--
-- Name: number_series _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.number_series FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('prefix line 20', 'first_number kept', 'last_number kept');


--
-- Name: organizations _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE OF name, country, currency, time_zone ON crm.organizations FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('name required line 200', 'country country', 'currency required currency', 'time_zone required time_zone');


--
-- Name: payments _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.payments FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('account_id kept', 'currency kept', 'reference line 200', 'note text 5000', 'idempotency_key line 200', 'external_id line 200');


--
-- Name: pipeline_stages _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.pipeline_stages FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('name required line 100', 'description text 1000', 'external_id line 200');


--
-- Name: pipelines _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.pipelines FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('name required line 100', 'description text 1000', 'external_id line 200');


--
-- Name: projects _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.projects FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('name required line 200', 'description html 100000', 'currency currency', 'external_id line 200', 'status steps *:planned,active,on_hold planned:active,on_hold,completed,cancelled active:on_hold,completed,cancelled on_hold:planned,active,completed,cancelled completed:active cancelled:planned', 'completed_at since status completed');


--
-- Name: role_permissions _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.role_permissions FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('permission required line 127');


--
-- Name: roles _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.roles FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('name required line 63', 'title line 100', 'description text 1000');


--
-- Name: saved_filters _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.saved_filters FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('entity required key', 'name required line 100', 'query line 4000', 'shown_columns lines 63', 'sort line 500');


--
-- Name: tags _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.tags FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('name required line 50', 'color color', 'description text 1000');


--
-- Name: tasks _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.tasks FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('title required line 300', 'description html 100000', 'assignee_id owner', 'repeat rrule', 'external_id line 200', 'status steps *:open,in_progress,waiting,completed open:in_progress,waiting,completed,cancelled in_progress:open,waiting,completed,cancelled waiting:open,in_progress,completed,cancelled completed:open cancelled:open', 'completed_at since status completed');


--
-- Name: tickets _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE ON crm.tickets FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('number kept', 'subject required line 300', 'description html 100000', 'category line 100', 'assignee_id owner', 'external_id line 200', 'status steps *:new,open,pending,on_hold,solved new:open,pending,on_hold,solved,closed open:pending,on_hold,solved,closed pending:open,on_hold,solved,closed on_hold:open,pending,solved,closed solved:open,closed closed:open', 'resolved_at since status solved,closed', 'closed_at since status closed');


--
-- Name: users _100_normalize; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE OF full_name, time_zone, locale, avatar_url ON crm.users FOR EACH ROW EXECUTE FUNCTION crm_private."normalize"('full_name line 200', 'time_zone time_zone', 'locale locale', 'avatar_url url');


--
-- Name: organizations _110_slug; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _110_slug BEFORE INSERT ON crm.organizations FOR EACH ROW EXECUTE FUNCTION crm_private.find_slug();


--
-- Name: tags _120_name; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _120_name BEFORE INSERT OR UPDATE ON crm.tags FOR EACH ROW EXECUTE FUNCTION crm_private.name_tag();


--
-- Name: accounts _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.accounts FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: activities _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.activities FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: appointments _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.appointments FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: attachments _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.attachments FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: contacts _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.contacts FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: deals _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.deals FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: estimates _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.estimates FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: invoices _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.invoices FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: jobs _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.jobs FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: leads _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.leads FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: messages _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.messages FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: payments _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.payments FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: projects _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.projects FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: tasks _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.tasks FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: tickets _140_tags; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _140_tags BEFORE INSERT OR UPDATE ON crm.tickets FOR EACH ROW EXECUTE FUNCTION crm_private.tag_record();


--
-- Name: accounts _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.accounts FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('accounts');


--
-- Name: activities _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.activities FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('activities');


--
-- Name: appointments _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.appointments FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('appointments');


--
-- Name: attachments _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.attachments FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('attachments');


--
-- Name: contacts _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.contacts FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('contacts');


--
-- Name: deals _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.deals FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('deals');


--
-- Name: estimates _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.estimates FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('estimates');


--
-- Name: invoices _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.invoices FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('invoices');


--
-- Name: jobs _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.jobs FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('jobs');


--
-- Name: leads _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.leads FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('leads');


--
-- Name: messages _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.messages FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('messages');


--
-- Name: payments _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.payments FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('payments');


--
-- Name: projects _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.projects FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('projects');


--
-- Name: tasks _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.tasks FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('tasks');


--
-- Name: tickets _150_custom_fields; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _150_custom_fields BEFORE INSERT OR UPDATE ON crm.tickets FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_fields('tickets');


--
-- Name: contact_emails _200_address; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _200_address BEFORE INSERT OR UPDATE OF email ON crm.contact_emails FOR EACH ROW EXECUTE FUNCTION crm_private.check_address();


--
-- Name: contacts _200_address; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _200_address BEFORE UPDATE ON crm.contacts FOR EACH ROW WHEN (((old.email IS DISTINCT FROM new.email) OR (old.phone IS DISTINCT FROM new.phone))) EXECUTE FUNCTION crm_private.swap_address();


--
-- Name: custom_fields _200_definition; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _200_definition BEFORE INSERT OR UPDATE ON crm.custom_fields FOR EACH ROW EXECUTE FUNCTION crm_private.check_custom_field();


--
-- Name: organizations _200_make_built_in_roles; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _200_make_built_in_roles AFTER INSERT ON crm.organizations FOR EACH ROW EXECUTE FUNCTION crm_private.make_built_in_roles();


--
-- Name: organizations _210_make_defaults; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _210_make_defaults AFTER INSERT ON crm.organizations FOR EACH ROW EXECUTE FUNCTION crm_private.make_defaults();


--
-- Name: accounts _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.accounts FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('accounts');


--
-- Name: activities _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.activities FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('activities');


--
-- Name: activity_links _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.activity_links FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('activities', 'part');


--
-- Name: appointment_attendees _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.appointment_attendees FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('appointments', 'part');


--
-- Name: appointments _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.appointments FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('appointments');


--
-- Name: attachments _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.attachments FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('attachments');


--
-- Name: automations _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.automations FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('automations', 'unowned');


--
-- Name: contact_accounts _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.contact_accounts FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('contacts', 'part');


--
-- Name: contact_emails _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.contact_emails FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('contacts', 'part');


--
-- Name: contact_phones _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.contact_phones FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('contacts', 'part');


--
-- Name: contacts _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.contacts FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('contacts');


--
-- Name: custom_fields _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.custom_fields FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('custom_fields', 'unowned');


--
-- Name: daily_metrics _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.daily_metrics FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('daily_metrics', 'unowned');


--
-- Name: deal_contacts _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.deal_contacts FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('deals', 'part');


--
-- Name: deal_stage_changes _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.deal_stage_changes FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('deals', 'part');


--
-- Name: deals _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.deals FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('deals');


--
-- Name: estimate_items _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.estimate_items FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('estimates', 'part');


--
-- Name: estimates _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.estimates FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('estimates');


--
-- Name: group_members _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.group_members FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('group_members', 'unowned');


--
-- Name: group_permissions _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.group_permissions FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('group_permissions', 'unowned');


--
-- Name: group_roles _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.group_roles FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('group_roles', 'unowned');


--
-- Name: groups _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.groups FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('groups', 'unowned');


--
-- Name: invoice_items _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.invoice_items FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('invoices', 'part');


--
-- Name: invoices _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.invoices FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('invoices');


--
-- Name: jobs _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.jobs FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('jobs');


--
-- Name: leads _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.leads FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('leads');


--
-- Name: messages _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.messages FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('messages');


--
-- Name: notifications _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.notifications FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('notifications');


--
-- Name: number_series _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.number_series FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('number_series', 'unowned');


--
-- Name: organizations _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR UPDATE ON crm.organizations FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard_profile();


--
-- Name: payments _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.payments FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('payments');


--
-- Name: pipeline_stages _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.pipeline_stages FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('pipeline_stages', 'unowned');


--
-- Name: pipelines _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.pipelines FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('pipelines', 'unowned');


--
-- Name: projects _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.projects FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('projects');


--
-- Name: role_permissions _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.role_permissions FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('role_permissions', 'unowned');


--
-- Name: roles _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.roles FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('roles', 'unowned');


--
-- Name: saved_filters _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.saved_filters FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('saved_filters');


--
-- Name: tags _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.tags FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('tags', 'unowned');


--
-- Name: tasks _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.tasks FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('tasks');


--
-- Name: tickets _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE INSERT OR DELETE OR UPDATE ON crm.tickets FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard('tickets');


--
-- Name: users _300_guard; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard BEFORE UPDATE ON crm.users FOR EACH STATEMENT EXECUTE FUNCTION crm_private.guard_profile();


--
-- Name: organizations _300_guard_row; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard_row BEFORE UPDATE ON crm.organizations FOR EACH ROW EXECUTE FUNCTION crm_private.guard_profile();


--
-- Name: users _300_guard_row; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _300_guard_row BEFORE UPDATE ON crm.users FOR EACH ROW EXECUTE FUNCTION crm_private.guard_profile();


--
-- Name: custom_fields _310_lock; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _310_lock BEFORE DELETE OR UPDATE ON crm.custom_fields FOR EACH STATEMENT EXECUTE FUNCTION crm_private.lock_custom_fields();


--
-- Name: invoices _350_series; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _350_series BEFORE UPDATE OF status ON crm.invoices FOR EACH STATEMENT EXECUTE FUNCTION crm_private.lock_series();


--
-- Name: group_members _400_delegation; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_delegation BEFORE INSERT OR DELETE OR UPDATE ON crm.group_members FOR EACH ROW EXECUTE FUNCTION crm_private.check_delegation('group_members');


--
-- Name: group_permissions _400_delegation; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_delegation BEFORE INSERT OR DELETE OR UPDATE ON crm.group_permissions FOR EACH ROW EXECUTE FUNCTION crm_private.check_delegation('group_permissions');


--
-- Name: group_roles _400_delegation; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_delegation BEFORE INSERT OR DELETE OR UPDATE ON crm.group_roles FOR EACH ROW EXECUTE FUNCTION crm_private.check_delegation('group_roles');


--
-- Name: groups _400_delegation; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_delegation BEFORE DELETE OR UPDATE ON crm.groups FOR EACH ROW EXECUTE FUNCTION crm_private.check_delegation('groups');


--
-- Name: role_permissions _400_delegation; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_delegation BEFORE INSERT OR DELETE OR UPDATE ON crm.role_permissions FOR EACH ROW EXECUTE FUNCTION crm_private.check_delegation('role_permissions');


--
-- Name: roles _400_delegation; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_delegation BEFORE INSERT OR DELETE OR UPDATE ON crm.roles FOR EACH ROW EXECUTE FUNCTION crm_private.check_delegation('roles');


--
-- Name: accounts _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.accounts FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('accounts');


--
-- Name: activities _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.activities FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('activities');


--
-- Name: activity_links _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.activity_links FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('activities', 'part');


--
-- Name: appointment_attendees _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.appointment_attendees FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('appointments', 'part');


--
-- Name: appointments _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.appointments FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('appointments');


--
-- Name: attachments _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.attachments FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('attachments');


--
-- Name: contact_accounts _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.contact_accounts FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('contacts', 'part');


--
-- Name: contact_emails _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.contact_emails FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('contacts', 'part');


--
-- Name: contact_phones _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.contact_phones FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('contacts', 'part');


--
-- Name: contacts _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.contacts FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('contacts');


--
-- Name: deal_contacts _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.deal_contacts FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('deals', 'part');


--
-- Name: deal_stage_changes _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.deal_stage_changes FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('deals', 'part');


--
-- Name: deals _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.deals FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('deals');


--
-- Name: estimate_items _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.estimate_items FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('estimates', 'part');


--
-- Name: estimates _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.estimates FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('estimates');


--
-- Name: invoice_items _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.invoice_items FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('invoices', 'part');


--
-- Name: invoices _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.invoices FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('invoices');


--
-- Name: jobs _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.jobs FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('jobs');


--
-- Name: leads _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.leads FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('leads');


--
-- Name: messages _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.messages FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('messages');


--
-- Name: notifications _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.notifications FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('notifications');


--
-- Name: payments _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.payments FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('payments');


--
-- Name: projects _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.projects FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('projects');


--
-- Name: saved_filters _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.saved_filters FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('saved_filters');


--
-- Name: tasks _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.tasks FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('tasks');


--
-- Name: tickets _400_scope; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _400_scope BEFORE DELETE OR UPDATE ON crm.tickets FOR EACH ROW EXECUTE FUNCTION crm_private.check_scope('tickets');


--
-- Name: estimates _450_document; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _450_document BEFORE INSERT OR UPDATE ON crm.estimates FOR EACH ROW EXECUTE FUNCTION crm_private.check_document('estimate');


--
-- Name: invoices _450_document; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _450_document BEFORE INSERT OR DELETE OR UPDATE ON crm.invoices FOR EACH ROW EXECUTE FUNCTION crm_private.check_document('invoice');


--
-- Name: estimate_items _450_line; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _450_line BEFORE INSERT OR DELETE OR UPDATE ON crm.estimate_items FOR EACH ROW EXECUTE FUNCTION crm_private.compute_line('estimate');


--
-- Name: invoice_items _450_line; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _450_line BEFORE INSERT OR DELETE OR UPDATE ON crm.invoice_items FOR EACH ROW EXECUTE FUNCTION crm_private.compute_line('invoice');


--
-- Name: payments _450_payment; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _450_payment BEFORE INSERT OR UPDATE ON crm.payments FOR EACH ROW EXECUTE FUNCTION crm_private.check_payment();


--
-- Name: number_series _450_series; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _450_series BEFORE DELETE OR UPDATE ON crm.number_series FOR EACH ROW EXECUTE FUNCTION crm_private.guard_series();


--
-- Name: accounts _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.accounts FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: activities _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.activities FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: activity_links _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.activity_links FOR EACH ROW EXECUTE FUNCTION crm_private.stamp('activity_id', 'crm.activities', 'activities');


--
-- Name: appointment_attendees _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.appointment_attendees FOR EACH ROW EXECUTE FUNCTION crm_private.stamp('appointment_id', 'crm.appointments', 'appointments');


--
-- Name: appointments _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.appointments FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: attachments _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.attachments FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: automations _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.automations FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: contact_accounts _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.contact_accounts FOR EACH ROW EXECUTE FUNCTION crm_private.stamp('contact_id', 'crm.contacts', 'contacts');


--
-- Name: contact_emails _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.contact_emails FOR EACH ROW EXECUTE FUNCTION crm_private.stamp('contact_id', 'crm.contacts', 'contacts');


--
-- Name: contact_phones _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.contact_phones FOR EACH ROW EXECUTE FUNCTION crm_private.stamp('contact_id', 'crm.contacts', 'contacts');


--
-- Name: contacts _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.contacts FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: custom_fields _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.custom_fields FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: daily_metrics _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.daily_metrics FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: deal_contacts _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.deal_contacts FOR EACH ROW EXECUTE FUNCTION crm_private.stamp('deal_id', 'crm.deals', 'deals');


--
-- Name: deal_stage_changes _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.deal_stage_changes FOR EACH ROW EXECUTE FUNCTION crm_private.stamp('deal_id', 'crm.deals', 'deals');


--
-- Name: deals _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.deals FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: estimate_items _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.estimate_items FOR EACH ROW EXECUTE FUNCTION crm_private.stamp('estimate_id', 'crm.estimates', 'estimates');


--
-- Name: estimates _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.estimates FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: group_members _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.group_members FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: group_permissions _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.group_permissions FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: group_roles _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.group_roles FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: groups _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.groups FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: invoice_items _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.invoice_items FOR EACH ROW EXECUTE FUNCTION crm_private.stamp('invoice_id', 'crm.invoices', 'invoices');


--
-- Name: invoices _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.invoices FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: jobs _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.jobs FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: leads _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.leads FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: messages _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.messages FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: notifications _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.notifications FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: number_series _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.number_series FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: payments _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.payments FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: pipeline_stages _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.pipeline_stages FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: pipelines _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.pipelines FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: projects _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.projects FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: role_permissions _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.role_permissions FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: roles _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.roles FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: saved_filters _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.saved_filters FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: tags _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.tags FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: tasks _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.tasks FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: tickets _500_stamp; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_stamp BEFORE INSERT OR UPDATE ON crm.tickets FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: organizations _500_touch; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_touch BEFORE UPDATE ON crm.organizations FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: users _500_touch; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _500_touch BEFORE UPDATE ON crm.users FOR EACH ROW EXECUTE FUNCTION crm_private.stamp();


--
-- Name: pipelines _550_default; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _550_default BEFORE INSERT OR UPDATE OF is_default ON crm.pipelines FOR EACH ROW EXECUTE FUNCTION crm_private.keep_default_pipeline();


--
-- Name: contacts _600_addresses; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_addresses AFTER INSERT ON crm.contacts REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.check_addresses();


--
-- Name: pipelines _600_default; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_default AFTER INSERT OR DELETE OR UPDATE OF is_default ON crm.pipelines FOR EACH ROW EXECUTE FUNCTION crm_private.keep_default_pipeline();


--
-- Name: accounts _600_hierarchy; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_hierarchy AFTER INSERT ON crm.accounts FOR EACH ROW WHEN ((new.parent_id IS NOT NULL)) EXECUTE FUNCTION crm_private.check_hierarchy('parent_id');


--
-- Name: accounts _600_hierarchy_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_hierarchy_update AFTER UPDATE OF parent_id ON crm.accounts FOR EACH ROW WHEN (((new.parent_id IS NOT NULL) AND (new.parent_id IS DISTINCT FROM old.parent_id))) EXECUTE FUNCTION crm_private.check_hierarchy('parent_id');


--
-- Name: tickets _600_number; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_number BEFORE INSERT ON crm.tickets FOR EACH ROW EXECUTE FUNCTION crm_private.number_ticket();


--
-- Name: activities _600_owner_activity_links; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_owner_activity_links AFTER UPDATE ON crm.activities FOR EACH ROW WHEN ((old.owner_id IS DISTINCT FROM new.owner_id)) EXECUTE FUNCTION crm_private.pass_owner('crm.activity_links', 'activity_id');


--
-- Name: appointments _600_owner_appointment_attendees; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_owner_appointment_attendees AFTER UPDATE ON crm.appointments FOR EACH ROW WHEN ((old.owner_id IS DISTINCT FROM new.owner_id)) EXECUTE FUNCTION crm_private.pass_owner('crm.appointment_attendees', 'appointment_id');


--
-- Name: contacts _600_owner_contact_accounts; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_owner_contact_accounts AFTER UPDATE ON crm.contacts FOR EACH ROW WHEN ((old.owner_id IS DISTINCT FROM new.owner_id)) EXECUTE FUNCTION crm_private.pass_owner('crm.contact_accounts', 'contact_id');


--
-- Name: contacts _600_owner_contact_emails; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_owner_contact_emails AFTER UPDATE ON crm.contacts FOR EACH ROW WHEN ((old.owner_id IS DISTINCT FROM new.owner_id)) EXECUTE FUNCTION crm_private.pass_owner('crm.contact_emails', 'contact_id');


--
-- Name: contacts _600_owner_contact_phones; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_owner_contact_phones AFTER UPDATE ON crm.contacts FOR EACH ROW WHEN ((old.owner_id IS DISTINCT FROM new.owner_id)) EXECUTE FUNCTION crm_private.pass_owner('crm.contact_phones', 'contact_id');


--
-- Name: deals _600_owner_deal_contacts; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_owner_deal_contacts AFTER UPDATE ON crm.deals FOR EACH ROW WHEN ((old.owner_id IS DISTINCT FROM new.owner_id)) EXECUTE FUNCTION crm_private.pass_owner('crm.deal_contacts', 'deal_id');


--
-- Name: deals _600_owner_deal_stage_changes; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_owner_deal_stage_changes AFTER UPDATE ON crm.deals FOR EACH ROW WHEN ((old.owner_id IS DISTINCT FROM new.owner_id)) EXECUTE FUNCTION crm_private.pass_owner('crm.deal_stage_changes', 'deal_id');


--
-- Name: estimates _600_owner_estimate_items; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_owner_estimate_items AFTER UPDATE ON crm.estimates FOR EACH ROW WHEN ((old.owner_id IS DISTINCT FROM new.owner_id)) EXECUTE FUNCTION crm_private.pass_owner('crm.estimate_items', 'estimate_id');


--
-- Name: invoices _600_owner_invoice_items; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_owner_invoice_items AFTER UPDATE ON crm.invoices FOR EACH ROW WHEN ((old.owner_id IS DISTINCT FROM new.owner_id)) EXECUTE FUNCTION crm_private.pass_owner('crm.invoice_items', 'invoice_id');


--
-- Name: deals _600_stage_changes; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_stage_changes AFTER INSERT ON crm.deals REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.note_stage();


--
-- Name: deals _600_stage_changes_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _600_stage_changes_update AFTER UPDATE ON crm.deals FOR EACH ROW WHEN ((new.stage_id IS DISTINCT FROM old.stage_id)) EXECUTE FUNCTION crm_private.note_stage();


--
-- Name: payments _700_settle_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _700_settle_delete AFTER DELETE ON crm.payments REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.settle_invoices();


--
-- Name: payments _700_settle_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _700_settle_insert AFTER INSERT ON crm.payments REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.settle_invoices();


--
-- Name: payments _700_settle_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _700_settle_update AFTER UPDATE ON crm.payments REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.settle_invoices();


--
-- Name: estimate_items _700_sum_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _700_sum_delete AFTER DELETE ON crm.estimate_items REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.sum_lines('estimate');


--
-- Name: invoice_items _700_sum_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _700_sum_delete AFTER DELETE ON crm.invoice_items REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.sum_lines('invoice');


--
-- Name: estimate_items _700_sum_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _700_sum_insert AFTER INSERT ON crm.estimate_items REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.sum_lines('estimate');


--
-- Name: invoice_items _700_sum_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _700_sum_insert AFTER INSERT ON crm.invoice_items REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.sum_lines('invoice');


--
-- Name: estimate_items _700_sum_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _700_sum_update AFTER UPDATE ON crm.estimate_items REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.sum_lines('estimate');


--
-- Name: invoice_items _700_sum_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _700_sum_update AFTER UPDATE ON crm.invoice_items REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.sum_lines('invoice');


--
-- Name: custom_fields _800_apply; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_apply AFTER INSERT OR DELETE OR UPDATE ON crm.custom_fields FOR EACH ROW EXECUTE FUNCTION crm_private.apply_custom_field();


--
-- Name: accounts _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.accounts REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('accounts');


--
-- Name: activities _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.activities REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('activities');


--
-- Name: appointments _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.appointments REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('appointments');


--
-- Name: attachments _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.attachments REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('attachments');


--
-- Name: automations _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.automations REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('automations');


--
-- Name: contacts _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.contacts REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('contacts');


--
-- Name: custom_fields _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.custom_fields REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('custom_fields');


--
-- Name: deals _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.deals REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('deals');


--
-- Name: estimates _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.estimates REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('estimates');


--
-- Name: group_members _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.group_members REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('group_members');


--
-- Name: group_permissions _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.group_permissions REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('group_permissions');


--
-- Name: group_roles _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.group_roles REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('group_roles');


--
-- Name: groups _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.groups REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('groups');


--
-- Name: invoices _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.invoices REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('invoices');


--
-- Name: jobs _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.jobs REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('jobs');


--
-- Name: leads _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.leads REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('leads');


--
-- Name: memberships _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.memberships REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('users', 'status', 'active');


--
-- Name: messages _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.messages REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('messages');


--
-- Name: notifications _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.notifications REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('notifications');


--
-- Name: number_series _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.number_series REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('number_series');


--
-- Name: payments _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.payments REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('payments');


--
-- Name: pipeline_stages _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.pipeline_stages REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('pipeline_stages');


--
-- Name: pipelines _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.pipelines REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('pipelines');


--
-- Name: projects _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.projects REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('projects');


--
-- Name: role_permissions _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.role_permissions REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('role_permissions');


--
-- Name: roles _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.roles REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('roles');


--
-- Name: saved_filters _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.saved_filters REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('saved_filters');


--
-- Name: tags _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.tags REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('tags');


--
-- Name: tasks _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.tasks REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('tasks');


--
-- Name: tickets _800_count_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_delete AFTER DELETE ON crm.tickets REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('tickets');


--
-- Name: accounts _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.accounts REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('accounts');


--
-- Name: activities _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.activities REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('activities');


--
-- Name: appointments _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.appointments REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('appointments');


--
-- Name: attachments _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.attachments REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('attachments');


--
-- Name: automations _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.automations REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('automations');


--
-- Name: contacts _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.contacts REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('contacts');


--
-- Name: custom_fields _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.custom_fields REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('custom_fields');


--
-- Name: deals _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.deals REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('deals');


--
-- Name: estimates _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.estimates REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('estimates');


--
-- Name: group_members _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.group_members REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('group_members');


--
-- Name: group_permissions _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.group_permissions REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('group_permissions');


--
-- Name: group_roles _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.group_roles REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('group_roles');


--
-- Name: groups _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.groups REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('groups');


--
-- Name: invoices _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.invoices REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('invoices');


--
-- Name: jobs _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.jobs REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('jobs');


--
-- Name: leads _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.leads REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('leads');


--
-- Name: memberships _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.memberships REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('users', 'status', 'active');


--
-- Name: messages _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.messages REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('messages');


--
-- Name: notifications _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.notifications REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('notifications');


--
-- Name: number_series _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.number_series REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('number_series');


--
-- Name: payments _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.payments REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('payments');


--
-- Name: pipeline_stages _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.pipeline_stages REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('pipeline_stages');


--
-- Name: pipelines _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.pipelines REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('pipelines');


--
-- Name: projects _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.projects REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('projects');


--
-- Name: role_permissions _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.role_permissions REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('role_permissions');


--
-- Name: roles _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.roles REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('roles');


--
-- Name: saved_filters _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.saved_filters REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('saved_filters');


--
-- Name: tags _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.tags REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('tags');


--
-- Name: tasks _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.tasks REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('tasks');


--
-- Name: tickets _800_count_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_insert AFTER INSERT ON crm.tickets REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('tickets');


--
-- Name: accounts _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.accounts FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('accounts');


--
-- Name: activities _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.activities FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('activities');


--
-- Name: appointments _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.appointments FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('appointments');


--
-- Name: attachments _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.attachments FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('attachments');


--
-- Name: automations _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.automations FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('automations');


--
-- Name: contacts _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.contacts FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('contacts');


--
-- Name: custom_fields _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.custom_fields FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('custom_fields');


--
-- Name: deals _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.deals FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('deals');


--
-- Name: estimates _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.estimates FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('estimates');


--
-- Name: group_members _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.group_members FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('group_members');


--
-- Name: group_permissions _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.group_permissions FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('group_permissions');


--
-- Name: group_roles _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.group_roles FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('group_roles');


--
-- Name: groups _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.groups FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('groups');


--
-- Name: invoices _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.invoices FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('invoices');


--
-- Name: jobs _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.jobs FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('jobs');


--
-- Name: leads _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.leads FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('leads');


--
-- Name: memberships _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.memberships FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('users', 'status', 'active');


--
-- Name: messages _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.messages FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('messages');


--
-- Name: notifications _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.notifications FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('notifications');


--
-- Name: number_series _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.number_series FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('number_series');


--
-- Name: payments _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.payments FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('payments');


--
-- Name: pipeline_stages _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.pipeline_stages FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('pipeline_stages');


--
-- Name: pipelines _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.pipelines FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('pipelines');


--
-- Name: projects _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.projects FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('projects');


--
-- Name: role_permissions _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.role_permissions FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('role_permissions');


--
-- Name: roles _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.roles FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('roles');


--
-- Name: saved_filters _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.saved_filters FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('saved_filters');


--
-- Name: tags _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.tags FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('tags');


--
-- Name: tasks _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.tasks FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('tasks');


--
-- Name: tickets _800_count_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_truncate AFTER TRUNCATE ON crm.tickets FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('tickets');


--
-- Name: memberships _800_count_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_count_update AFTER UPDATE ON crm.memberships REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crm_private.count_usage('users', 'status', 'active');


--
-- Name: accounts _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.accounts FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('accounts');


--
-- Name: activities _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.activities FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('activities');


--
-- Name: appointments _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.appointments FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('appointments');


--
-- Name: attachments _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.attachments FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('attachments');


--
-- Name: contacts _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.contacts FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('contacts');


--
-- Name: deals _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.deals FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('deals');


--
-- Name: estimates _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.estimates FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('estimates');


--
-- Name: invoices _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.invoices FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('invoices');


--
-- Name: jobs _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.jobs FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('jobs');


--
-- Name: leads _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.leads FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('leads');


--
-- Name: messages _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.messages FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('messages');


--
-- Name: payments _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.payments FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('payments');


--
-- Name: projects _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.projects FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('projects');


--
-- Name: tasks _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.tasks FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('tasks');


--
-- Name: tickets _800_custom_values_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_delete AFTER DELETE ON crm.tickets FOR EACH ROW WHEN (true) EXECUTE FUNCTION crm_private.keep_custom_values('tickets');


--
-- Name: accounts _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.accounts FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('accounts');


--
-- Name: activities _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.activities FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('activities');


--
-- Name: appointments _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.appointments FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('appointments');


--
-- Name: attachments _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.attachments FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('attachments');


--
-- Name: contacts _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.contacts FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('contacts');


--
-- Name: deals _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.deals FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('deals');


--
-- Name: estimates _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.estimates FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('estimates');


--
-- Name: invoices _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.invoices FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('invoices');


--
-- Name: jobs _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.jobs FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('jobs');


--
-- Name: leads _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.leads FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('leads');


--
-- Name: messages _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.messages FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('messages');


--
-- Name: payments _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.payments FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('payments');


--
-- Name: projects _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.projects FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('projects');


--
-- Name: tasks _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.tasks FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('tasks');


--
-- Name: tickets _800_custom_values_insert; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_insert AFTER INSERT ON crm.tickets FOR EACH ROW WHEN ((new.custom_fields <> '{}'::jsonb)) EXECUTE FUNCTION crm_private.keep_custom_values('tickets');


--
-- Name: accounts _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.accounts FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('accounts');


--
-- Name: activities _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.activities FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('activities');


--
-- Name: appointments _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.appointments FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('appointments');


--
-- Name: attachments _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.attachments FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('attachments');


--
-- Name: contacts _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.contacts FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('contacts');


--
-- Name: deals _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.deals FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('deals');


--
-- Name: estimates _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.estimates FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('estimates');


--
-- Name: invoices _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.invoices FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('invoices');


--
-- Name: jobs _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.jobs FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('jobs');


--
-- Name: leads _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.leads FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('leads');


--
-- Name: messages _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.messages FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('messages');


--
-- Name: payments _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.payments FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('payments');


--
-- Name: projects _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.projects FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('projects');


--
-- Name: tasks _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.tasks FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('tasks');


--
-- Name: tickets _800_custom_values_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_truncate AFTER TRUNCATE ON crm.tickets FOR EACH STATEMENT EXECUTE FUNCTION crm_private.keep_custom_values('tickets');


--
-- Name: accounts _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.accounts FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('accounts');


--
-- Name: activities _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.activities FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('activities');


--
-- Name: appointments _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.appointments FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('appointments');


--
-- Name: attachments _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.attachments FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('attachments');


--
-- Name: contacts _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.contacts FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('contacts');


--
-- Name: deals _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.deals FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('deals');


--
-- Name: estimates _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.estimates FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('estimates');


--
-- Name: invoices _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.invoices FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('invoices');


--
-- Name: jobs _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.jobs FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('jobs');


--
-- Name: leads _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.leads FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('leads');


--
-- Name: messages _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.messages FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('messages');


--
-- Name: payments _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.payments FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('payments');


--
-- Name: projects _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.projects FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('projects');


--
-- Name: tasks _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.tasks FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('tasks');


--
-- Name: tickets _800_custom_values_update; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_custom_values_update AFTER UPDATE ON crm.tickets FOR EACH ROW WHEN ((old.custom_fields <> new.custom_fields)) EXECUTE FUNCTION crm_private.keep_custom_values('tickets');


--
-- Name: memberships _800_keep_owner; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _800_keep_owner AFTER DELETE OR UPDATE ON crm.memberships FOR EACH ROW EXECUTE FUNCTION crm_private.keep_owner();


--
-- Name: tags _850_follow; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _850_follow AFTER UPDATE ON crm.tags FOR EACH ROW WHEN ((new.name <> old.name)) EXECUTE FUNCTION crm_private.follow_tag();


--
-- Name: tags _850_follow_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _850_follow_delete AFTER DELETE ON crm.tags FOR EACH ROW EXECUTE FUNCTION crm_private.follow_tag();


--
-- Name: built_in_permissions _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER INSERT OR DELETE OR UPDATE ON crm.built_in_permissions FOR EACH ROW EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.built_in_permissions ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: custom_fields _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER INSERT OR DELETE OR UPDATE ON crm.custom_fields FOR EACH ROW EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm.custom_fields ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: group_members _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER INSERT OR DELETE OR UPDATE ON crm.group_members FOR EACH ROW EXECUTE FUNCTION crm_private.announce('permissions', 'org_id');

ALTER TABLE crm.group_members ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: group_permissions _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER INSERT OR DELETE OR UPDATE ON crm.group_permissions FOR EACH ROW EXECUTE FUNCTION crm_private.announce('permissions', 'org_id');

ALTER TABLE crm.group_permissions ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: group_roles _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER INSERT OR DELETE OR UPDATE ON crm.group_roles FOR EACH ROW EXECUTE FUNCTION crm_private.announce('permissions', 'org_id');

ALTER TABLE crm.group_roles ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: groups _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER UPDATE ON crm.groups FOR EACH ROW WHEN ((new.name <> old.name)) EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm.groups ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: memberships _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER INSERT OR DELETE OR UPDATE ON crm.memberships FOR EACH ROW EXECUTE FUNCTION crm_private.announce('permissions', 'org_id');

ALTER TABLE crm.memberships ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: organizations _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER DELETE OR UPDATE ON crm.organizations FOR EACH ROW EXECUTE FUNCTION crm_private.announce('permissions', 'id');

ALTER TABLE crm.organizations ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: plans _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER DELETE OR UPDATE ON crm.plans FOR EACH ROW EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm.plans ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: role_permissions _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER INSERT OR DELETE OR UPDATE ON crm.role_permissions FOR EACH ROW EXECUTE FUNCTION crm_private.announce('permissions', 'org_id');

ALTER TABLE crm.role_permissions ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: roles _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER DELETE OR UPDATE ON crm.roles FOR EACH ROW EXECUTE FUNCTION crm_private.announce('permissions', 'org_id');

ALTER TABLE crm.roles ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: users _900_announce; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER UPDATE ON crm.users FOR EACH ROW WHEN (((new.status <> old.status) OR (new.id <> old.id))) EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.users ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: users _900_announce_delete; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_delete AFTER DELETE ON crm.users FOR EACH ROW EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.users ENABLE ALWAYS TRIGGER _900_announce_delete;


--
-- Name: built_in_permissions _900_announce_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm.built_in_permissions FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.built_in_permissions ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: custom_fields _900_announce_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm.custom_fields FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm.custom_fields ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: group_members _900_announce_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm.group_members FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.group_members ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: group_permissions _900_announce_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm.group_permissions FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.group_permissions ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: group_roles _900_announce_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm.group_roles FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.group_roles ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: memberships _900_announce_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm.memberships FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.memberships ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: organizations _900_announce_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm.organizations FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.organizations ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: plans _900_announce_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm.plans FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm.plans ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: role_permissions _900_announce_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm.role_permissions FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.role_permissions ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: roles _900_announce_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm.roles FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.roles ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: users _900_announce_truncate; Type: TRIGGER; Schema: crm; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm.users FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm.users ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: identity_providers _100_normalize; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _100_normalize BEFORE INSERT OR UPDATE OF jwks ON crm_private.identity_providers FOR EACH ROW EXECUTE FUNCTION crm_private.normalize_provider();


--
-- Name: api_keys _900_announce; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER DELETE OR UPDATE ON crm_private.api_keys FOR EACH ROW EXECUTE FUNCTION crm_private.announce('permissions', 'org_id');

ALTER TABLE crm_private.api_keys ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: identity_providers _900_announce; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER INSERT OR DELETE OR UPDATE ON crm_private.identity_providers FOR EACH ROW EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.identity_providers ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: plan_overrides _900_announce; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER INSERT OR DELETE OR UPDATE ON crm_private.plan_overrides FOR EACH ROW EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.plan_overrides ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: platform_members _900_announce; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER INSERT OR DELETE OR UPDATE ON crm_private.platform_members FOR EACH ROW EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.platform_members ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: sessions _900_announce; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER UPDATE ON crm_private.sessions FOR EACH ROW WHEN (((new.ended_at IS DISTINCT FROM old.ended_at) OR (new.expires_at < old.expires_at) OR (new.user_id <> old.user_id) OR (new.actor_id IS DISTINCT FROM old.actor_id) OR (new.id <> old.id))) EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.sessions ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: settings _900_announce; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER DELETE OR UPDATE ON crm_private.settings FOR EACH ROW EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.settings ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: signing_keys _900_announce; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER INSERT OR DELETE OR UPDATE ON crm_private.signing_keys FOR EACH ROW EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.signing_keys ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: user_identities _900_announce; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce AFTER DELETE OR UPDATE ON crm_private.user_identities FOR EACH ROW EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.user_identities ENABLE ALWAYS TRIGGER _900_announce;


--
-- Name: sessions _900_announce_delete; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce_delete AFTER DELETE ON crm_private.sessions FOR EACH ROW EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.sessions ENABLE ALWAYS TRIGGER _900_announce_delete;


--
-- Name: api_keys _900_announce_truncate; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm_private.api_keys FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce('permissions');

ALTER TABLE crm_private.api_keys ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: identity_providers _900_announce_truncate; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm_private.identity_providers FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.identity_providers ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: plan_overrides _900_announce_truncate; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm_private.plan_overrides FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.plan_overrides ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: platform_members _900_announce_truncate; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm_private.platform_members FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.platform_members ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: sessions _900_announce_truncate; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm_private.sessions FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.sessions ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: settings _900_announce_truncate; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm_private.settings FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.settings ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: signing_keys _900_announce_truncate; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm_private.signing_keys FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.signing_keys ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: user_identities _900_announce_truncate; Type: TRIGGER; Schema: crm_private; Owner: crm_owner
--

CREATE TRIGGER _900_announce_truncate AFTER TRUNCATE ON crm_private.user_identities FOR EACH STATEMENT EXECUTE FUNCTION crm_private.announce();

ALTER TABLE crm_private.user_identities ENABLE ALWAYS TRIGGER _900_announce_truncate;


--
-- Name: accounts accounts_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.accounts
    ADD CONSTRAINT accounts_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: accounts accounts_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.accounts
    ADD CONSTRAINT accounts_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: accounts accounts_org_id_parent_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.accounts
    ADD CONSTRAINT accounts_org_id_parent_id_fkey FOREIGN KEY (org_id, parent_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (parent_id);


--
-- Name: activities activities_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activities
    ADD CONSTRAINT activities_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (account_id);


--
-- Name: activities activities_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activities
    ADD CONSTRAINT activities_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE SET NULL (contact_id);


--
-- Name: activities activities_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activities
    ADD CONSTRAINT activities_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE SET NULL (deal_id);


--
-- Name: activities activities_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activities
    ADD CONSTRAINT activities_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: activities activities_org_id_lead_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activities
    ADD CONSTRAINT activities_org_id_lead_id_fkey FOREIGN KEY (org_id, lead_id) REFERENCES crm.leads(org_id, id) ON DELETE SET NULL (lead_id);


--
-- Name: activities activities_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activities
    ADD CONSTRAINT activities_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: activities activities_org_id_project_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activities
    ADD CONSTRAINT activities_org_id_project_id_fkey FOREIGN KEY (org_id, project_id) REFERENCES crm.projects(org_id, id) ON DELETE SET NULL (project_id);


--
-- Name: activities activities_org_id_ticket_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activities
    ADD CONSTRAINT activities_org_id_ticket_id_fkey FOREIGN KEY (org_id, ticket_id) REFERENCES crm.tickets(org_id, id) ON DELETE SET NULL (ticket_id);


--
-- Name: activity_links activity_links_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activity_links
    ADD CONSTRAINT activity_links_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE CASCADE;


--
-- Name: activity_links activity_links_org_id_activity_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activity_links
    ADD CONSTRAINT activity_links_org_id_activity_id_fkey FOREIGN KEY (org_id, activity_id) REFERENCES crm.activities(org_id, id) ON DELETE CASCADE;


--
-- Name: activity_links activity_links_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activity_links
    ADD CONSTRAINT activity_links_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE CASCADE;


--
-- Name: activity_links activity_links_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activity_links
    ADD CONSTRAINT activity_links_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE CASCADE;


--
-- Name: activity_links activity_links_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activity_links
    ADD CONSTRAINT activity_links_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: activity_links activity_links_org_id_lead_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activity_links
    ADD CONSTRAINT activity_links_org_id_lead_id_fkey FOREIGN KEY (org_id, lead_id) REFERENCES crm.leads(org_id, id) ON DELETE CASCADE;


--
-- Name: activity_links activity_links_org_id_project_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activity_links
    ADD CONSTRAINT activity_links_org_id_project_id_fkey FOREIGN KEY (org_id, project_id) REFERENCES crm.projects(org_id, id) ON DELETE CASCADE;


--
-- Name: activity_links activity_links_org_id_ticket_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.activity_links
    ADD CONSTRAINT activity_links_org_id_ticket_id_fkey FOREIGN KEY (org_id, ticket_id) REFERENCES crm.tickets(org_id, id) ON DELETE CASCADE;


--
-- Name: appointment_attendees appointment_attendees_org_id_appointment_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointment_attendees
    ADD CONSTRAINT appointment_attendees_org_id_appointment_id_fkey FOREIGN KEY (org_id, appointment_id) REFERENCES crm.appointments(org_id, id) ON DELETE CASCADE;


--
-- Name: appointment_attendees appointment_attendees_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointment_attendees
    ADD CONSTRAINT appointment_attendees_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE CASCADE;


--
-- Name: appointment_attendees appointment_attendees_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointment_attendees
    ADD CONSTRAINT appointment_attendees_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: appointment_attendees appointment_attendees_org_id_user_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointment_attendees
    ADD CONSTRAINT appointment_attendees_org_id_user_id_fkey FOREIGN KEY (org_id, user_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE CASCADE;


--
-- Name: appointments appointments_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointments
    ADD CONSTRAINT appointments_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (account_id);


--
-- Name: appointments appointments_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointments
    ADD CONSTRAINT appointments_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE SET NULL (contact_id);


--
-- Name: appointments appointments_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointments
    ADD CONSTRAINT appointments_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE SET NULL (deal_id);


--
-- Name: appointments appointments_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointments
    ADD CONSTRAINT appointments_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: appointments appointments_org_id_lead_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointments
    ADD CONSTRAINT appointments_org_id_lead_id_fkey FOREIGN KEY (org_id, lead_id) REFERENCES crm.leads(org_id, id) ON DELETE SET NULL (lead_id);


--
-- Name: appointments appointments_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointments
    ADD CONSTRAINT appointments_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: appointments appointments_org_id_project_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointments
    ADD CONSTRAINT appointments_org_id_project_id_fkey FOREIGN KEY (org_id, project_id) REFERENCES crm.projects(org_id, id) ON DELETE SET NULL (project_id);


--
-- Name: appointments appointments_org_id_ticket_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.appointments
    ADD CONSTRAINT appointments_org_id_ticket_id_fkey FOREIGN KEY (org_id, ticket_id) REFERENCES crm.tickets(org_id, id) ON DELETE SET NULL (ticket_id);


--
-- Name: attachments attachments_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_activity_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_activity_id_fkey FOREIGN KEY (org_id, activity_id) REFERENCES crm.activities(org_id, id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_estimate_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_estimate_id_fkey FOREIGN KEY (org_id, estimate_id) REFERENCES crm.estimates(org_id, id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_invoice_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES crm.invoices(org_id, id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_job_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_job_id_fkey FOREIGN KEY (org_id, job_id) REFERENCES crm.jobs(org_id, id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_lead_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_lead_id_fkey FOREIGN KEY (org_id, lead_id) REFERENCES crm.leads(org_id, id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_message_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_message_id_fkey FOREIGN KEY (org_id, message_id) REFERENCES crm.messages(org_id, id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: attachments attachments_org_id_project_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_project_id_fkey FOREIGN KEY (org_id, project_id) REFERENCES crm.projects(org_id, id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_task_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_task_id_fkey FOREIGN KEY (org_id, task_id) REFERENCES crm.tasks(org_id, id) ON DELETE CASCADE;


--
-- Name: attachments attachments_org_id_ticket_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.attachments
    ADD CONSTRAINT attachments_org_id_ticket_id_fkey FOREIGN KEY (org_id, ticket_id) REFERENCES crm.tickets(org_id, id) ON DELETE CASCADE;


--
-- Name: automations automations_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.automations
    ADD CONSTRAINT automations_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: built_in_permissions built_in_permissions_role_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.built_in_permissions
    ADD CONSTRAINT built_in_permissions_role_fkey FOREIGN KEY (role) REFERENCES crm.built_in_roles(name) ON UPDATE CASCADE ON DELETE CASCADE;


--
-- Name: contact_accounts contact_accounts_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_accounts
    ADD CONSTRAINT contact_accounts_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE CASCADE;


--
-- Name: contact_accounts contact_accounts_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_accounts
    ADD CONSTRAINT contact_accounts_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE CASCADE;


--
-- Name: contact_accounts contact_accounts_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_accounts
    ADD CONSTRAINT contact_accounts_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: contact_emails contact_emails_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_emails
    ADD CONSTRAINT contact_emails_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE CASCADE;


--
-- Name: contact_emails contact_emails_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_emails
    ADD CONSTRAINT contact_emails_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: contact_phones contact_phones_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_phones
    ADD CONSTRAINT contact_phones_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE CASCADE;


--
-- Name: contact_phones contact_phones_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contact_phones
    ADD CONSTRAINT contact_phones_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: contacts contacts_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contacts
    ADD CONSTRAINT contacts_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (account_id);


--
-- Name: contacts contacts_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contacts
    ADD CONSTRAINT contacts_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: contacts contacts_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.contacts
    ADD CONSTRAINT contacts_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: custom_fields custom_fields_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.custom_fields
    ADD CONSTRAINT custom_fields_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: daily_metrics daily_metrics_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.daily_metrics
    ADD CONSTRAINT daily_metrics_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: deal_contacts deal_contacts_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deal_contacts
    ADD CONSTRAINT deal_contacts_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE CASCADE;


--
-- Name: deal_contacts deal_contacts_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deal_contacts
    ADD CONSTRAINT deal_contacts_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE CASCADE;


--
-- Name: deal_contacts deal_contacts_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deal_contacts
    ADD CONSTRAINT deal_contacts_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: deal_stage_changes deal_stage_changes_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deal_stage_changes
    ADD CONSTRAINT deal_stage_changes_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE CASCADE;


--
-- Name: deal_stage_changes deal_stage_changes_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deal_stage_changes
    ADD CONSTRAINT deal_stage_changes_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: deals deals_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deals
    ADD CONSTRAINT deals_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (account_id);


--
-- Name: deals deals_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deals
    ADD CONSTRAINT deals_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE SET NULL (contact_id);


--
-- Name: deals deals_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deals
    ADD CONSTRAINT deals_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: deals deals_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deals
    ADD CONSTRAINT deals_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: deals deals_org_id_pipeline_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deals
    ADD CONSTRAINT deals_org_id_pipeline_id_fkey FOREIGN KEY (org_id, pipeline_id) REFERENCES crm.pipelines(org_id, id);


--
-- Name: deals deals_org_id_pipeline_id_stage_id_status_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.deals
    ADD CONSTRAINT deals_org_id_pipeline_id_stage_id_status_fkey FOREIGN KEY (org_id, pipeline_id, stage_id, status) REFERENCES crm.pipeline_stages(org_id, pipeline_id, id, kind);


--
-- Name: estimate_items estimate_items_org_id_estimate_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimate_items
    ADD CONSTRAINT estimate_items_org_id_estimate_id_fkey FOREIGN KEY (org_id, estimate_id) REFERENCES crm.estimates(org_id, id) ON DELETE CASCADE;


--
-- Name: estimate_items estimate_items_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimate_items
    ADD CONSTRAINT estimate_items_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: estimates estimates_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimates
    ADD CONSTRAINT estimates_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (account_id);


--
-- Name: estimates estimates_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimates
    ADD CONSTRAINT estimates_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE SET NULL (contact_id);


--
-- Name: estimates estimates_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimates
    ADD CONSTRAINT estimates_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE SET NULL (deal_id);


--
-- Name: estimates estimates_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimates
    ADD CONSTRAINT estimates_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: estimates estimates_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.estimates
    ADD CONSTRAINT estimates_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: group_members group_members_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_members
    ADD CONSTRAINT group_members_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: group_members group_members_org_id_group_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_members
    ADD CONSTRAINT group_members_org_id_group_id_fkey FOREIGN KEY (org_id, group_id) REFERENCES crm.groups(org_id, id) ON DELETE CASCADE;


--
-- Name: group_members group_members_org_id_user_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_members
    ADD CONSTRAINT group_members_org_id_user_id_fkey FOREIGN KEY (org_id, user_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE CASCADE;


--
-- Name: group_permissions group_permissions_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_permissions
    ADD CONSTRAINT group_permissions_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: group_permissions group_permissions_org_id_group_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_permissions
    ADD CONSTRAINT group_permissions_org_id_group_id_fkey FOREIGN KEY (org_id, group_id) REFERENCES crm.groups(org_id, id) ON DELETE CASCADE;


--
-- Name: group_roles group_roles_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_roles
    ADD CONSTRAINT group_roles_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: group_roles group_roles_org_id_group_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_roles
    ADD CONSTRAINT group_roles_org_id_group_id_fkey FOREIGN KEY (org_id, group_id) REFERENCES crm.groups(org_id, id) ON DELETE CASCADE;


--
-- Name: group_roles group_roles_org_id_role_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.group_roles
    ADD CONSTRAINT group_roles_org_id_role_fkey FOREIGN KEY (org_id, role) REFERENCES crm.roles(org_id, name) ON UPDATE CASCADE;


--
-- Name: groups groups_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.groups
    ADD CONSTRAINT groups_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: invoice_items invoice_items_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoice_items
    ADD CONSTRAINT invoice_items_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: invoice_items invoice_items_org_id_invoice_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoice_items
    ADD CONSTRAINT invoice_items_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES crm.invoices(org_id, id) ON DELETE CASCADE;


--
-- Name: invoices invoices_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoices
    ADD CONSTRAINT invoices_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id);


--
-- Name: invoices invoices_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoices
    ADD CONSTRAINT invoices_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE SET NULL (contact_id);


--
-- Name: invoices invoices_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoices
    ADD CONSTRAINT invoices_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE SET NULL (deal_id);


--
-- Name: invoices invoices_org_id_estimate_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoices
    ADD CONSTRAINT invoices_org_id_estimate_id_fkey FOREIGN KEY (org_id, estimate_id) REFERENCES crm.estimates(org_id, id) ON DELETE SET NULL (estimate_id);


--
-- Name: invoices invoices_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoices
    ADD CONSTRAINT invoices_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: invoices invoices_org_id_job_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoices
    ADD CONSTRAINT invoices_org_id_job_id_fkey FOREIGN KEY (org_id, job_id) REFERENCES crm.jobs(org_id, id) ON DELETE SET NULL (job_id);


--
-- Name: invoices invoices_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoices
    ADD CONSTRAINT invoices_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: invoices invoices_org_id_project_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.invoices
    ADD CONSTRAINT invoices_org_id_project_id_fkey FOREIGN KEY (org_id, project_id) REFERENCES crm.projects(org_id, id) ON DELETE SET NULL (project_id);


--
-- Name: jobs jobs_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.jobs
    ADD CONSTRAINT jobs_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (account_id);


--
-- Name: jobs jobs_org_id_assignee_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.jobs
    ADD CONSTRAINT jobs_org_id_assignee_id_fkey FOREIGN KEY (org_id, assignee_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (assignee_id);


--
-- Name: jobs jobs_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.jobs
    ADD CONSTRAINT jobs_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE SET NULL (contact_id);


--
-- Name: jobs jobs_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.jobs
    ADD CONSTRAINT jobs_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE SET NULL (deal_id);


--
-- Name: jobs jobs_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.jobs
    ADD CONSTRAINT jobs_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: jobs jobs_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.jobs
    ADD CONSTRAINT jobs_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: jobs jobs_org_id_project_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.jobs
    ADD CONSTRAINT jobs_org_id_project_id_fkey FOREIGN KEY (org_id, project_id) REFERENCES crm.projects(org_id, id) ON DELETE SET NULL (project_id);


--
-- Name: leads leads_org_id_converted_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.leads
    ADD CONSTRAINT leads_org_id_converted_account_id_fkey FOREIGN KEY (org_id, converted_account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (converted_account_id);


--
-- Name: leads leads_org_id_converted_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.leads
    ADD CONSTRAINT leads_org_id_converted_contact_id_fkey FOREIGN KEY (org_id, converted_contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE SET NULL (converted_contact_id);


--
-- Name: leads leads_org_id_converted_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.leads
    ADD CONSTRAINT leads_org_id_converted_deal_id_fkey FOREIGN KEY (org_id, converted_deal_id) REFERENCES crm.deals(org_id, id) ON DELETE SET NULL (converted_deal_id);


--
-- Name: leads leads_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.leads
    ADD CONSTRAINT leads_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: leads leads_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.leads
    ADD CONSTRAINT leads_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: memberships memberships_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.memberships
    ADD CONSTRAINT memberships_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: memberships memberships_org_id_role_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.memberships
    ADD CONSTRAINT memberships_org_id_role_fkey FOREIGN KEY (org_id, role) REFERENCES crm.roles(org_id, name) ON UPDATE CASCADE;


--
-- Name: memberships memberships_user_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.memberships
    ADD CONSTRAINT memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES crm.users(id) ON DELETE CASCADE;


--
-- Name: messages messages_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.messages
    ADD CONSTRAINT messages_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (account_id);


--
-- Name: messages messages_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.messages
    ADD CONSTRAINT messages_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE SET NULL (contact_id);


--
-- Name: messages messages_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.messages
    ADD CONSTRAINT messages_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE SET NULL (deal_id);


--
-- Name: messages messages_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.messages
    ADD CONSTRAINT messages_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: messages messages_org_id_lead_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.messages
    ADD CONSTRAINT messages_org_id_lead_id_fkey FOREIGN KEY (org_id, lead_id) REFERENCES crm.leads(org_id, id) ON DELETE SET NULL (lead_id);


--
-- Name: messages messages_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.messages
    ADD CONSTRAINT messages_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: messages messages_org_id_ticket_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.messages
    ADD CONSTRAINT messages_org_id_ticket_id_fkey FOREIGN KEY (org_id, ticket_id) REFERENCES crm.tickets(org_id, id) ON DELETE SET NULL (ticket_id);


--
-- Name: notifications notifications_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.notifications
    ADD CONSTRAINT notifications_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: notifications notifications_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.notifications
    ADD CONSTRAINT notifications_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE CASCADE;


--
-- Name: notifications notifications_org_id_user_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.notifications
    ADD CONSTRAINT notifications_org_id_user_id_fkey FOREIGN KEY (org_id, user_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE CASCADE;


--
-- Name: number_series number_series_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.number_series
    ADD CONSTRAINT number_series_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: organizations organizations_plan_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.organizations
    ADD CONSTRAINT organizations_plan_fkey FOREIGN KEY (plan) REFERENCES crm.plans(name);


--
-- Name: payments payments_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.payments
    ADD CONSTRAINT payments_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (account_id);


--
-- Name: payments payments_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.payments
    ADD CONSTRAINT payments_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: payments payments_org_id_invoice_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.payments
    ADD CONSTRAINT payments_org_id_invoice_id_fkey FOREIGN KEY (org_id, invoice_id) REFERENCES crm.invoices(org_id, id);


--
-- Name: payments payments_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.payments
    ADD CONSTRAINT payments_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: pipeline_stages pipeline_stages_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.pipeline_stages
    ADD CONSTRAINT pipeline_stages_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: pipeline_stages pipeline_stages_org_id_pipeline_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.pipeline_stages
    ADD CONSTRAINT pipeline_stages_org_id_pipeline_id_fkey FOREIGN KEY (org_id, pipeline_id) REFERENCES crm.pipelines(org_id, id) ON DELETE CASCADE;


--
-- Name: pipelines pipelines_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.pipelines
    ADD CONSTRAINT pipelines_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: projects projects_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.projects
    ADD CONSTRAINT projects_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (account_id);


--
-- Name: projects projects_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.projects
    ADD CONSTRAINT projects_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE SET NULL (contact_id);


--
-- Name: projects projects_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.projects
    ADD CONSTRAINT projects_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE SET NULL (deal_id);


--
-- Name: projects projects_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.projects
    ADD CONSTRAINT projects_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: projects projects_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.projects
    ADD CONSTRAINT projects_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: role_permissions role_permissions_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.role_permissions
    ADD CONSTRAINT role_permissions_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: role_permissions role_permissions_org_id_role_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.role_permissions
    ADD CONSTRAINT role_permissions_org_id_role_fkey FOREIGN KEY (org_id, role) REFERENCES crm.roles(org_id, name) ON UPDATE CASCADE ON DELETE CASCADE;


--
-- Name: roles roles_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.roles
    ADD CONSTRAINT roles_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: saved_filters saved_filters_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.saved_filters
    ADD CONSTRAINT saved_filters_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: saved_filters saved_filters_org_id_group_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.saved_filters
    ADD CONSTRAINT saved_filters_org_id_group_id_fkey FOREIGN KEY (org_id, group_id) REFERENCES crm.groups(org_id, id) ON DELETE CASCADE;


--
-- Name: saved_filters saved_filters_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.saved_filters
    ADD CONSTRAINT saved_filters_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: tags tags_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tags
    ADD CONSTRAINT tags_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: tasks tasks_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tasks
    ADD CONSTRAINT tasks_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (account_id);


--
-- Name: tasks tasks_org_id_assignee_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tasks
    ADD CONSTRAINT tasks_org_id_assignee_id_fkey FOREIGN KEY (org_id, assignee_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (assignee_id);


--
-- Name: tasks tasks_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tasks
    ADD CONSTRAINT tasks_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE SET NULL (contact_id);


--
-- Name: tasks tasks_org_id_deal_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tasks
    ADD CONSTRAINT tasks_org_id_deal_id_fkey FOREIGN KEY (org_id, deal_id) REFERENCES crm.deals(org_id, id) ON DELETE SET NULL (deal_id);


--
-- Name: tasks tasks_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tasks
    ADD CONSTRAINT tasks_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: tasks tasks_org_id_lead_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tasks
    ADD CONSTRAINT tasks_org_id_lead_id_fkey FOREIGN KEY (org_id, lead_id) REFERENCES crm.leads(org_id, id) ON DELETE SET NULL (lead_id);


--
-- Name: tasks tasks_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tasks
    ADD CONSTRAINT tasks_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: tasks tasks_org_id_project_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tasks
    ADD CONSTRAINT tasks_org_id_project_id_fkey FOREIGN KEY (org_id, project_id) REFERENCES crm.projects(org_id, id) ON DELETE SET NULL (project_id);


--
-- Name: tasks tasks_org_id_ticket_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tasks
    ADD CONSTRAINT tasks_org_id_ticket_id_fkey FOREIGN KEY (org_id, ticket_id) REFERENCES crm.tickets(org_id, id) ON DELETE SET NULL (ticket_id);


--
-- Name: tickets tickets_org_id_account_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tickets
    ADD CONSTRAINT tickets_org_id_account_id_fkey FOREIGN KEY (org_id, account_id) REFERENCES crm.accounts(org_id, id) ON DELETE SET NULL (account_id);


--
-- Name: tickets tickets_org_id_assignee_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tickets
    ADD CONSTRAINT tickets_org_id_assignee_id_fkey FOREIGN KEY (org_id, assignee_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (assignee_id);


--
-- Name: tickets tickets_org_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tickets
    ADD CONSTRAINT tickets_org_id_contact_id_fkey FOREIGN KEY (org_id, contact_id) REFERENCES crm.contacts(org_id, id) ON DELETE SET NULL (contact_id);


--
-- Name: tickets tickets_org_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tickets
    ADD CONSTRAINT tickets_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: tickets tickets_org_id_owner_id_fkey; Type: FK CONSTRAINT; Schema: crm; Owner: crm_owner
--

ALTER TABLE ONLY crm.tickets
    ADD CONSTRAINT tickets_org_id_owner_id_fkey FOREIGN KEY (org_id, owner_id) REFERENCES crm.memberships(org_id, user_id) ON DELETE SET NULL (owner_id);


--
-- Name: api_key_uses api_key_uses_api_key_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.api_key_uses
    ADD CONSTRAINT api_key_uses_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES crm_private.api_keys(id) ON DELETE CASCADE;


--
-- Name: api_keys api_keys_created_by_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.api_keys
    ADD CONSTRAINT api_keys_created_by_fkey FOREIGN KEY (created_by) REFERENCES crm.users(id) ON DELETE SET NULL;


--
-- Name: api_keys api_keys_org_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.api_keys
    ADD CONSTRAINT api_keys_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: custom_references custom_references_org_id_field_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.custom_references
    ADD CONSTRAINT custom_references_org_id_field_id_fkey FOREIGN KEY (org_id, field_id) REFERENCES crm.custom_fields(org_id, id) ON DELETE CASCADE;


--
-- Name: custom_unique_values custom_unique_values_org_id_field_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.custom_unique_values
    ADD CONSTRAINT custom_unique_values_org_id_field_id_fkey FOREIGN KEY (org_id, field_id) REFERENCES crm.custom_fields(org_id, id) ON DELETE CASCADE;


--
-- Name: invitations invitations_invited_by_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.invitations
    ADD CONSTRAINT invitations_invited_by_fkey FOREIGN KEY (invited_by) REFERENCES crm.users(id) ON DELETE SET NULL;


--
-- Name: invitations invitations_org_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.invitations
    ADD CONSTRAINT invitations_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: invitations invitations_org_id_role_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.invitations
    ADD CONSTRAINT invitations_org_id_role_fkey FOREIGN KEY (org_id, role) REFERENCES crm.roles(org_id, name) ON UPDATE CASCADE ON DELETE CASCADE;


--
-- Name: messages messages_org_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.messages
    ADD CONSTRAINT messages_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: oauth_flows oauth_flows_provider_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.oauth_flows
    ADD CONSTRAINT oauth_flows_provider_fkey FOREIGN KEY (provider) REFERENCES crm_private.identity_providers(name) ON UPDATE CASCADE ON DELETE CASCADE;


--
-- Name: one_time_tokens one_time_tokens_org_id_invitation_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.one_time_tokens
    ADD CONSTRAINT one_time_tokens_org_id_invitation_id_fkey FOREIGN KEY (org_id, invitation_id) REFERENCES crm_private.invitations(org_id, id) ON DELETE CASCADE;


--
-- Name: one_time_tokens one_time_tokens_user_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.one_time_tokens
    ADD CONSTRAINT one_time_tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES crm.users(id) ON DELETE CASCADE;


--
-- Name: passwords passwords_user_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.passwords
    ADD CONSTRAINT passwords_user_id_fkey FOREIGN KEY (user_id) REFERENCES crm.users(id) ON DELETE CASCADE;


--
-- Name: plan_overrides plan_overrides_org_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.plan_overrides
    ADD CONSTRAINT plan_overrides_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: platform_members platform_members_user_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.platform_members
    ADD CONSTRAINT platform_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES crm.users(id) ON DELETE CASCADE;


--
-- Name: refresh_tokens refresh_tokens_session_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.refresh_tokens
    ADD CONSTRAINT refresh_tokens_session_id_fkey FOREIGN KEY (session_id) REFERENCES crm_private.sessions(id) ON DELETE CASCADE;


--
-- Name: sessions sessions_actor_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.sessions
    ADD CONSTRAINT sessions_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES crm.users(id) ON DELETE CASCADE;


--
-- Name: sessions sessions_org_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.sessions
    ADD CONSTRAINT sessions_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE SET NULL;


--
-- Name: sessions sessions_user_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.sessions
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES crm.users(id) ON DELETE CASCADE;


--
-- Name: usage_deltas usage_deltas_org_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.usage_deltas
    ADD CONSTRAINT usage_deltas_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: usage usage_org_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.usage
    ADD CONSTRAINT usage_org_id_fkey FOREIGN KEY (org_id) REFERENCES crm.organizations(id) ON DELETE CASCADE;


--
-- Name: user_identities user_identities_provider_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.user_identities
    ADD CONSTRAINT user_identities_provider_fkey FOREIGN KEY (provider) REFERENCES crm_private.identity_providers(name) ON UPDATE CASCADE ON DELETE CASCADE;


--
-- Name: user_identities user_identities_user_id_fkey; Type: FK CONSTRAINT; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE ONLY crm_private.user_identities
    ADD CONSTRAINT user_identities_user_id_fkey FOREIGN KEY (user_id) REFERENCES crm.users(id) ON DELETE CASCADE;


--
-- Name: accounts; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.accounts ENABLE ROW LEVEL SECURITY;

--
-- Name: accounts accounts_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY accounts_delete_app ON crm.accounts FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('accounts.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('accounts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('accounts.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY accounts_delete_app ON accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY accounts_delete_app ON crm.accounts IS 'crm_ext 6b64210405e7e42dd6ff727858c84118';


--
-- Name: accounts accounts_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY accounts_delete_multi ON crm.accounts FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('accounts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('accounts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('accounts.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY accounts_delete_multi ON accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY accounts_delete_multi ON crm.accounts IS 'crm_ext 817e0cc175582fb03329e3f00b1b670d';


--
-- Name: accounts accounts_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY accounts_insert_app ON crm.accounts FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('accounts.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('accounts.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('accounts.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY accounts_insert_app ON accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY accounts_insert_app ON crm.accounts IS 'crm_ext 3cafa327771ceeedae459cbf12799e0a';


--
-- Name: accounts accounts_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY accounts_insert_multi ON crm.accounts FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('accounts.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('accounts.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('accounts.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY accounts_insert_multi ON accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY accounts_insert_multi ON crm.accounts IS 'crm_ext 04a430df21e3c1c85565a8b4f9f499f6';


--
-- Name: accounts accounts_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY accounts_select_app ON crm.accounts FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('accounts.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('accounts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('accounts.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY accounts_select_app ON accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY accounts_select_app ON crm.accounts IS 'crm_ext 27f1a8257c32b2aecdd7ed538e8dae53';


--
-- Name: accounts accounts_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY accounts_select_multi ON crm.accounts FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('accounts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('accounts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('accounts.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY accounts_select_multi ON accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY accounts_select_multi ON crm.accounts IS 'crm_ext 817e0cc175582fb03329e3f00b1b670d';


--
-- Name: accounts accounts_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY accounts_update_app ON crm.accounts FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('accounts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('accounts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('accounts.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('accounts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('accounts.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('accounts.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY accounts_update_app ON accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY accounts_update_app ON crm.accounts IS 'crm_ext 9a97fcda238165eb091eab50e486f1fe';


--
-- Name: accounts accounts_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY accounts_update_multi ON crm.accounts FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('accounts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('accounts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('accounts.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('accounts.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('accounts.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('accounts.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY accounts_update_multi ON accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY accounts_update_multi ON crm.accounts IS 'crm_ext 5bf2bd6cbf81966e5d375cbe60341dee';


--
-- Name: activities; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.activities ENABLE ROW LEVEL SECURITY;

--
-- Name: activities activities_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activities_delete_app ON crm.activities FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('activities.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('activities.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('activities.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY activities_delete_app ON activities; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activities_delete_app ON crm.activities IS 'crm_ext 64a3e9ea58c2a80905800acecf1921b6';


--
-- Name: activities activities_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activities_delete_multi ON crm.activities FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('activities.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('activities.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('activities.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY activities_delete_multi ON activities; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activities_delete_multi ON crm.activities IS 'crm_ext e537731fa86a5fea7404551e6fdde030';


--
-- Name: activities activities_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activities_insert_app ON crm.activities FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('activities.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('activities.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('activities.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY activities_insert_app ON activities; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activities_insert_app ON crm.activities IS 'crm_ext 9276b989364bde93627864228d9284a0';


--
-- Name: activities activities_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activities_insert_multi ON crm.activities FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('activities.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('activities.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('activities.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY activities_insert_multi ON activities; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activities_insert_multi ON crm.activities IS 'crm_ext cd63b18a33032b22b668a6d194d574e7';


--
-- Name: activities activities_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activities_select_app ON crm.activities FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('activities.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('activities.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('activities.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY activities_select_app ON activities; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activities_select_app ON crm.activities IS 'crm_ext 20ef672ba620958b065996379d9f6a81';


--
-- Name: activities activities_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activities_select_multi ON crm.activities FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('activities.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('activities.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('activities.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY activities_select_multi ON activities; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activities_select_multi ON crm.activities IS 'crm_ext e537731fa86a5fea7404551e6fdde030';


--
-- Name: activities activities_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activities_update_app ON crm.activities FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('activities.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('activities.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('activities.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('activities.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('activities.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('activities.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY activities_update_app ON activities; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activities_update_app ON crm.activities IS 'crm_ext a426672bb33fdadecf92fd5ff9057f06';


--
-- Name: activities activities_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activities_update_multi ON crm.activities FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('activities.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('activities.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('activities.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('activities.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('activities.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('activities.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY activities_update_multi ON activities; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activities_update_multi ON crm.activities IS 'crm_ext 5a134257dae884e1aa8b806e8b9b167f';


--
-- Name: activity_links; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.activity_links ENABLE ROW LEVEL SECURITY;

--
-- Name: activity_links activity_links_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activity_links_delete_app ON crm.activity_links FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('activities.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('activities.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('activities.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY activity_links_delete_app ON activity_links; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activity_links_delete_app ON crm.activity_links IS 'crm_ext 0e101c3f8f660e45bef6c418f926575e';


--
-- Name: activity_links activity_links_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activity_links_delete_multi ON crm.activity_links FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('activities.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('activities.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('activities.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY activity_links_delete_multi ON activity_links; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activity_links_delete_multi ON crm.activity_links IS 'crm_ext e537731fa86a5fea7404551e6fdde030';


--
-- Name: activity_links activity_links_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activity_links_insert_app ON crm.activity_links FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('activities.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('activities.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('activities.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY activity_links_insert_app ON activity_links; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activity_links_insert_app ON crm.activity_links IS 'crm_ext 57a358ec08281b914673216ced02106c';


--
-- Name: activity_links activity_links_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activity_links_insert_multi ON crm.activity_links FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('activities.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('activities.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('activities.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY activity_links_insert_multi ON activity_links; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activity_links_insert_multi ON crm.activity_links IS 'crm_ext 8980e40cb364e5ef5673ce840e80d010';


--
-- Name: activity_links activity_links_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activity_links_select_app ON crm.activity_links FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('activities.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('activities.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('activities.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY activity_links_select_app ON activity_links; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activity_links_select_app ON crm.activity_links IS 'crm_ext 20ef672ba620958b065996379d9f6a81';


--
-- Name: activity_links activity_links_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activity_links_select_multi ON crm.activity_links FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('activities.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('activities.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('activities.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY activity_links_select_multi ON activity_links; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activity_links_select_multi ON crm.activity_links IS 'crm_ext e537731fa86a5fea7404551e6fdde030';


--
-- Name: activity_links activity_links_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activity_links_update_app ON crm.activity_links FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('activities.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('activities.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('activities.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('activities.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('activities.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('activities.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY activity_links_update_app ON activity_links; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activity_links_update_app ON crm.activity_links IS 'crm_ext a426672bb33fdadecf92fd5ff9057f06';


--
-- Name: activity_links activity_links_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY activity_links_update_multi ON crm.activity_links FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('activities.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('activities.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('activities.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('activities.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('activities.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('activities.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY activity_links_update_multi ON activity_links; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY activity_links_update_multi ON crm.activity_links IS 'crm_ext 5a134257dae884e1aa8b806e8b9b167f';


--
-- Name: appointment_attendees; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.appointment_attendees ENABLE ROW LEVEL SECURITY;

--
-- Name: appointment_attendees appointment_attendees_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointment_attendees_delete_app ON crm.appointment_attendees FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('appointments.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('appointments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('appointments.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY appointment_attendees_delete_app ON appointment_attendees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointment_attendees_delete_app ON crm.appointment_attendees IS 'crm_ext 9ff59fa5f42fdefa08efd84c7ba41ece';


--
-- Name: appointment_attendees appointment_attendees_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointment_attendees_delete_multi ON crm.appointment_attendees FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('appointments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('appointments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('appointments.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY appointment_attendees_delete_multi ON appointment_attendees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointment_attendees_delete_multi ON crm.appointment_attendees IS 'crm_ext ee6a501cf30ac2c86d5a76e309839073';


--
-- Name: appointment_attendees appointment_attendees_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointment_attendees_insert_app ON crm.appointment_attendees FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('appointments.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('appointments.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('appointments.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY appointment_attendees_insert_app ON appointment_attendees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointment_attendees_insert_app ON crm.appointment_attendees IS 'crm_ext f2a682355df50144d46e3c27b6daafae';


--
-- Name: appointment_attendees appointment_attendees_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointment_attendees_insert_multi ON crm.appointment_attendees FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('appointments.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('appointments.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('appointments.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY appointment_attendees_insert_multi ON appointment_attendees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointment_attendees_insert_multi ON crm.appointment_attendees IS 'crm_ext 8162704ec059f8407a7f5f25c190247a';


--
-- Name: appointment_attendees appointment_attendees_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointment_attendees_select_app ON crm.appointment_attendees FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('appointments.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('appointments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('appointments.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY appointment_attendees_select_app ON appointment_attendees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointment_attendees_select_app ON crm.appointment_attendees IS 'crm_ext cb7973199271f65b131c5e70ba4dcb01';


--
-- Name: appointment_attendees appointment_attendees_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointment_attendees_select_multi ON crm.appointment_attendees FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('appointments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('appointments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('appointments.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY appointment_attendees_select_multi ON appointment_attendees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointment_attendees_select_multi ON crm.appointment_attendees IS 'crm_ext ee6a501cf30ac2c86d5a76e309839073';


--
-- Name: appointment_attendees appointment_attendees_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointment_attendees_update_app ON crm.appointment_attendees FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('appointments.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('appointments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('appointments.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('appointments.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('appointments.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('appointments.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY appointment_attendees_update_app ON appointment_attendees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointment_attendees_update_app ON crm.appointment_attendees IS 'crm_ext 6818d04354cc932f03f9a01eba6e3cc0';


--
-- Name: appointment_attendees appointment_attendees_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointment_attendees_update_multi ON crm.appointment_attendees FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('appointments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('appointments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('appointments.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('appointments.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('appointments.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('appointments.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY appointment_attendees_update_multi ON appointment_attendees; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointment_attendees_update_multi ON crm.appointment_attendees IS 'crm_ext 434b70d3b51b043dba7e448ea0e0f6d7';


--
-- Name: appointments; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.appointments ENABLE ROW LEVEL SECURITY;

--
-- Name: appointments appointments_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointments_delete_app ON crm.appointments FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('appointments.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('appointments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('appointments.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY appointments_delete_app ON appointments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointments_delete_app ON crm.appointments IS 'crm_ext 73fc5e7da50d53dc2c541c15f355b286';


--
-- Name: appointments appointments_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointments_delete_multi ON crm.appointments FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('appointments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('appointments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('appointments.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY appointments_delete_multi ON appointments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointments_delete_multi ON crm.appointments IS 'crm_ext ee6a501cf30ac2c86d5a76e309839073';


--
-- Name: appointments appointments_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointments_insert_app ON crm.appointments FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('appointments.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('appointments.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('appointments.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY appointments_insert_app ON appointments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointments_insert_app ON crm.appointments IS 'crm_ext bc4a58dd4b816ab485b266dfd805b027';


--
-- Name: appointments appointments_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointments_insert_multi ON crm.appointments FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('appointments.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('appointments.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('appointments.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY appointments_insert_multi ON appointments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointments_insert_multi ON crm.appointments IS 'crm_ext e8b784fbaa975f928045caa8acc571ac';


--
-- Name: appointments appointments_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointments_select_app ON crm.appointments FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('appointments.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('appointments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('appointments.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY appointments_select_app ON appointments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointments_select_app ON crm.appointments IS 'crm_ext cb7973199271f65b131c5e70ba4dcb01';


--
-- Name: appointments appointments_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointments_select_multi ON crm.appointments FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('appointments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('appointments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('appointments.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY appointments_select_multi ON appointments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointments_select_multi ON crm.appointments IS 'crm_ext ee6a501cf30ac2c86d5a76e309839073';


--
-- Name: appointments appointments_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointments_update_app ON crm.appointments FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('appointments.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('appointments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('appointments.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('appointments.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('appointments.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('appointments.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY appointments_update_app ON appointments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointments_update_app ON crm.appointments IS 'crm_ext 6818d04354cc932f03f9a01eba6e3cc0';


--
-- Name: appointments appointments_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY appointments_update_multi ON crm.appointments FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('appointments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('appointments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('appointments.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('appointments.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('appointments.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('appointments.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY appointments_update_multi ON appointments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY appointments_update_multi ON crm.appointments IS 'crm_ext 434b70d3b51b043dba7e448ea0e0f6d7';


--
-- Name: attachments; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.attachments ENABLE ROW LEVEL SECURITY;

--
-- Name: attachments attachments_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY attachments_delete_app ON crm.attachments FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('attachments.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('attachments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('attachments.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY attachments_delete_app ON attachments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY attachments_delete_app ON crm.attachments IS 'crm_ext 52eaab3863209dde307dcf317be25486';


--
-- Name: attachments attachments_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY attachments_delete_multi ON crm.attachments FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('attachments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('attachments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('attachments.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY attachments_delete_multi ON attachments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY attachments_delete_multi ON crm.attachments IS 'crm_ext 7a353f89e5a42327ce8dbb1285ff6dfe';


--
-- Name: attachments attachments_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY attachments_insert_app ON crm.attachments FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('attachments.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('attachments.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('attachments.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY attachments_insert_app ON attachments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY attachments_insert_app ON crm.attachments IS 'crm_ext fdad971acd3d27268a29a152f8ac76bc';


--
-- Name: attachments attachments_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY attachments_insert_multi ON crm.attachments FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('attachments.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('attachments.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('attachments.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY attachments_insert_multi ON attachments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY attachments_insert_multi ON crm.attachments IS 'crm_ext 294bb190fa30c98795bf489707747383';


--
-- Name: attachments attachments_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY attachments_select_app ON crm.attachments FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('attachments.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('attachments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('attachments.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY attachments_select_app ON attachments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY attachments_select_app ON crm.attachments IS 'crm_ext e0a4b10418c03d9538cbbd44a9a14ec3';


--
-- Name: attachments attachments_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY attachments_select_multi ON crm.attachments FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('attachments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('attachments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('attachments.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY attachments_select_multi ON attachments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY attachments_select_multi ON crm.attachments IS 'crm_ext 7a353f89e5a42327ce8dbb1285ff6dfe';


--
-- Name: attachments attachments_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY attachments_update_app ON crm.attachments FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('attachments.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('attachments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('attachments.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('attachments.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('attachments.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('attachments.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY attachments_update_app ON attachments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY attachments_update_app ON crm.attachments IS 'crm_ext 4c0b090f96fd06a797bf4f2e73a8c45e';


--
-- Name: attachments attachments_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY attachments_update_multi ON crm.attachments FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('attachments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('attachments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('attachments.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('attachments.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('attachments.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('attachments.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY attachments_update_multi ON attachments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY attachments_update_multi ON crm.attachments IS 'crm_ext 07a2574308a97393238c79a177c3ce79';


--
-- Name: automations; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.automations ENABLE ROW LEVEL SECURITY;

--
-- Name: automations automations_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY automations_delete_app ON crm.automations FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('automations.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('automations.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY automations_delete_app ON automations; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY automations_delete_app ON crm.automations IS 'crm_ext b2f7c66c9c988160b8dcc58da4cfcc2f';


--
-- Name: automations automations_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY automations_delete_multi ON crm.automations FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('automations.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('automations.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY automations_delete_multi ON automations; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY automations_delete_multi ON crm.automations IS 'crm_ext b0449d003783f4a21c7c1a7b2cce7a88';


--
-- Name: automations automations_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY automations_insert_app ON crm.automations FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('automations.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('automations.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY automations_insert_app ON automations; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY automations_insert_app ON crm.automations IS 'crm_ext 18e77b54a22926c8ea369a86e194df8c';


--
-- Name: automations automations_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY automations_insert_multi ON crm.automations FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('automations.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('automations.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY automations_insert_multi ON automations; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY automations_insert_multi ON crm.automations IS 'crm_ext 4a0600d237dd08d1e4dc2f388d65db30';


--
-- Name: automations automations_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY automations_select_app ON crm.automations FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('automations.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('automations.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY automations_select_app ON automations; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY automations_select_app ON crm.automations IS 'crm_ext 3764336a8d17dffe43f57021eb673c64';


--
-- Name: automations automations_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY automations_select_multi ON crm.automations FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('automations.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('automations.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY automations_select_multi ON automations; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY automations_select_multi ON crm.automations IS 'crm_ext c715dbe1e9b894257256978daa92112f';


--
-- Name: automations automations_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY automations_update_app ON crm.automations FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('automations.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('automations.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('automations.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('automations.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY automations_update_app ON automations; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY automations_update_app ON crm.automations IS 'crm_ext 7fe6e72d168c330e0482b9979b6a3a9e';


--
-- Name: automations automations_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY automations_update_multi ON crm.automations FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('automations.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('automations.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('automations.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('automations.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY automations_update_multi ON automations; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY automations_update_multi ON crm.automations IS 'crm_ext 0409c93262506775829e053afcd91cc0';


--
-- Name: built_in_permissions; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.built_in_permissions ENABLE ROW LEVEL SECURITY;

--
-- Name: built_in_permissions built_in_permissions_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY built_in_permissions_all_definer ON crm.built_in_permissions TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: built_in_permissions built_in_permissions_all_owner; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY built_in_permissions_all_owner ON crm.built_in_permissions TO crm_owner USING (true) WITH CHECK (true);


--
-- Name: built_in_permissions built_in_permissions_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY built_in_permissions_select_app ON crm.built_in_permissions FOR SELECT TO crm_app USING ((role = ANY (( SELECT crm.readable_roles() AS readable_roles)::text[])));


--
-- Name: built_in_roles; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.built_in_roles ENABLE ROW LEVEL SECURITY;

--
-- Name: built_in_roles built_in_roles_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY built_in_roles_all_definer ON crm.built_in_roles TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: built_in_roles built_in_roles_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY built_in_roles_select_app ON crm.built_in_roles FOR SELECT TO crm_app USING ((name = ANY (( SELECT crm.readable_roles() AS readable_roles)::text[])));


--
-- Name: contact_accounts; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.contact_accounts ENABLE ROW LEVEL SECURITY;

--
-- Name: contact_accounts contact_accounts_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_accounts_delete_app ON crm.contact_accounts FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_accounts_delete_app ON contact_accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_accounts_delete_app ON crm.contact_accounts IS 'crm_ext a639603606f0f0a639843238205c527a';


--
-- Name: contact_accounts contact_accounts_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_accounts_delete_multi ON crm.contact_accounts FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_accounts_delete_multi ON contact_accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_accounts_delete_multi ON crm.contact_accounts IS 'crm_ext 4cc1af7574cacfdf70614cb711f798db';


--
-- Name: contact_accounts contact_accounts_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_accounts_insert_app ON crm.contact_accounts FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_accounts_insert_app ON contact_accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_accounts_insert_app ON crm.contact_accounts IS 'crm_ext 3d40a55b6b15112d8a8a5e8cd8a58896';


--
-- Name: contact_accounts contact_accounts_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_accounts_insert_multi ON crm.contact_accounts FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_accounts_insert_multi ON contact_accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_accounts_insert_multi ON crm.contact_accounts IS 'crm_ext 911852ed174de19e5f803a13f16f2506';


--
-- Name: contact_accounts contact_accounts_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_accounts_select_app ON crm.contact_accounts FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_accounts_select_app ON contact_accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_accounts_select_app ON crm.contact_accounts IS 'crm_ext 402cca25b976146e71626597fa55055a';


--
-- Name: contact_accounts contact_accounts_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_accounts_select_multi ON crm.contact_accounts FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_accounts_select_multi ON contact_accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_accounts_select_multi ON crm.contact_accounts IS 'crm_ext 4cc1af7574cacfdf70614cb711f798db';


--
-- Name: contact_accounts contact_accounts_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_accounts_update_app ON crm.contact_accounts FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_accounts_update_app ON contact_accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_accounts_update_app ON crm.contact_accounts IS 'crm_ext d912f7ef6fc8bfc276dc88af89a6bf19';


--
-- Name: contact_accounts contact_accounts_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_accounts_update_multi ON crm.contact_accounts FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_accounts_update_multi ON contact_accounts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_accounts_update_multi ON crm.contact_accounts IS 'crm_ext e20a6556616631cd42898a7068af79d4';


--
-- Name: contact_emails; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.contact_emails ENABLE ROW LEVEL SECURITY;

--
-- Name: contact_emails contact_emails_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_emails_delete_app ON crm.contact_emails FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_emails_delete_app ON contact_emails; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_emails_delete_app ON crm.contact_emails IS 'crm_ext a639603606f0f0a639843238205c527a';


--
-- Name: contact_emails contact_emails_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_emails_delete_multi ON crm.contact_emails FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_emails_delete_multi ON contact_emails; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_emails_delete_multi ON crm.contact_emails IS 'crm_ext 4cc1af7574cacfdf70614cb711f798db';


--
-- Name: contact_emails contact_emails_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_emails_insert_app ON crm.contact_emails FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_emails_insert_app ON contact_emails; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_emails_insert_app ON crm.contact_emails IS 'crm_ext 3d40a55b6b15112d8a8a5e8cd8a58896';


--
-- Name: contact_emails contact_emails_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_emails_insert_multi ON crm.contact_emails FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_emails_insert_multi ON contact_emails; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_emails_insert_multi ON crm.contact_emails IS 'crm_ext 911852ed174de19e5f803a13f16f2506';


--
-- Name: contact_emails contact_emails_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_emails_select_app ON crm.contact_emails FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_emails_select_app ON contact_emails; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_emails_select_app ON crm.contact_emails IS 'crm_ext 402cca25b976146e71626597fa55055a';


--
-- Name: contact_emails contact_emails_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_emails_select_multi ON crm.contact_emails FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_emails_select_multi ON contact_emails; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_emails_select_multi ON crm.contact_emails IS 'crm_ext 4cc1af7574cacfdf70614cb711f798db';


--
-- Name: contact_emails contact_emails_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_emails_update_app ON crm.contact_emails FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_emails_update_app ON contact_emails; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_emails_update_app ON crm.contact_emails IS 'crm_ext d912f7ef6fc8bfc276dc88af89a6bf19';


--
-- Name: contact_emails contact_emails_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_emails_update_multi ON crm.contact_emails FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_emails_update_multi ON contact_emails; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_emails_update_multi ON crm.contact_emails IS 'crm_ext e20a6556616631cd42898a7068af79d4';


--
-- Name: contact_phones; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.contact_phones ENABLE ROW LEVEL SECURITY;

--
-- Name: contact_phones contact_phones_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_phones_delete_app ON crm.contact_phones FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_phones_delete_app ON contact_phones; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_phones_delete_app ON crm.contact_phones IS 'crm_ext a639603606f0f0a639843238205c527a';


--
-- Name: contact_phones contact_phones_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_phones_delete_multi ON crm.contact_phones FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_phones_delete_multi ON contact_phones; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_phones_delete_multi ON crm.contact_phones IS 'crm_ext 4cc1af7574cacfdf70614cb711f798db';


--
-- Name: contact_phones contact_phones_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_phones_insert_app ON crm.contact_phones FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_phones_insert_app ON contact_phones; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_phones_insert_app ON crm.contact_phones IS 'crm_ext 3d40a55b6b15112d8a8a5e8cd8a58896';


--
-- Name: contact_phones contact_phones_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_phones_insert_multi ON crm.contact_phones FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_phones_insert_multi ON contact_phones; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_phones_insert_multi ON crm.contact_phones IS 'crm_ext 911852ed174de19e5f803a13f16f2506';


--
-- Name: contact_phones contact_phones_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_phones_select_app ON crm.contact_phones FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_phones_select_app ON contact_phones; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_phones_select_app ON crm.contact_phones IS 'crm_ext 402cca25b976146e71626597fa55055a';


--
-- Name: contact_phones contact_phones_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_phones_select_multi ON crm.contact_phones FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_phones_select_multi ON contact_phones; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_phones_select_multi ON crm.contact_phones IS 'crm_ext 4cc1af7574cacfdf70614cb711f798db';


--
-- Name: contact_phones contact_phones_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_phones_update_app ON crm.contact_phones FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contact_phones_update_app ON contact_phones; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_phones_update_app ON crm.contact_phones IS 'crm_ext d912f7ef6fc8bfc276dc88af89a6bf19';


--
-- Name: contact_phones contact_phones_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contact_phones_update_multi ON crm.contact_phones FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contact_phones_update_multi ON contact_phones; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contact_phones_update_multi ON crm.contact_phones IS 'crm_ext e20a6556616631cd42898a7068af79d4';


--
-- Name: contacts; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.contacts ENABLE ROW LEVEL SECURITY;

--
-- Name: contacts contacts_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contacts_delete_app ON crm.contacts FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contacts_delete_app ON contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contacts_delete_app ON crm.contacts IS 'crm_ext 056b858e3864cab65d5666aae909f19e';


--
-- Name: contacts contacts_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contacts_delete_multi ON crm.contacts FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contacts_delete_multi ON contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contacts_delete_multi ON crm.contacts IS 'crm_ext 4cc1af7574cacfdf70614cb711f798db';


--
-- Name: contacts contacts_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contacts_insert_app ON crm.contacts FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('contacts.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contacts_insert_app ON contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contacts_insert_app ON crm.contacts IS 'crm_ext 245070068b2c6275d1b0c21c25acaeb7';


--
-- Name: contacts contacts_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contacts_insert_multi ON crm.contacts FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contacts_insert_multi ON contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contacts_insert_multi ON crm.contacts IS 'crm_ext 6181c543e322b7253509e68b739a21a1';


--
-- Name: contacts contacts_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contacts_select_app ON crm.contacts FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contacts_select_app ON contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contacts_select_app ON crm.contacts IS 'crm_ext 402cca25b976146e71626597fa55055a';


--
-- Name: contacts contacts_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contacts_select_multi ON crm.contacts FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contacts_select_multi ON contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contacts_select_multi ON crm.contacts IS 'crm_ext 4cc1af7574cacfdf70614cb711f798db';


--
-- Name: contacts contacts_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contacts_update_app ON crm.contacts FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('contacts.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('contacts.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('contacts.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY contacts_update_app ON contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contacts_update_app ON crm.contacts IS 'crm_ext d912f7ef6fc8bfc276dc88af89a6bf19';


--
-- Name: contacts contacts_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY contacts_update_multi ON crm.contacts FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('contacts.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('contacts.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('contacts.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY contacts_update_multi ON contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY contacts_update_multi ON crm.contacts IS 'crm_ext e20a6556616631cd42898a7068af79d4';


--
-- Name: custom_fields; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.custom_fields ENABLE ROW LEVEL SECURITY;

--
-- Name: custom_fields custom_fields_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY custom_fields_all_definer ON crm.custom_fields TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: custom_fields custom_fields_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY custom_fields_delete_app ON crm.custom_fields FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('custom_fields.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('custom_fields.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY custom_fields_delete_app ON custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY custom_fields_delete_app ON crm.custom_fields IS 'crm_ext 1ffbee7c0de8c230e492088454b026de';


--
-- Name: custom_fields custom_fields_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY custom_fields_delete_multi ON crm.custom_fields FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('custom_fields.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('custom_fields.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY custom_fields_delete_multi ON custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY custom_fields_delete_multi ON crm.custom_fields IS 'crm_ext c61e557999bb26a94c11e0685cdfc749';


--
-- Name: custom_fields custom_fields_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY custom_fields_insert_app ON crm.custom_fields FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('custom_fields.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('custom_fields.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY custom_fields_insert_app ON custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY custom_fields_insert_app ON crm.custom_fields IS 'crm_ext 3e8a7ace9c68ee08a34a79e3c879f0be';


--
-- Name: custom_fields custom_fields_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY custom_fields_insert_multi ON crm.custom_fields FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('custom_fields.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('custom_fields.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY custom_fields_insert_multi ON custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY custom_fields_insert_multi ON crm.custom_fields IS 'crm_ext 85d2176c845b467196112f2c5a2717db';


--
-- Name: custom_fields custom_fields_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY custom_fields_select_app ON crm.custom_fields FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('custom_fields.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('custom_fields.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY custom_fields_select_app ON custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY custom_fields_select_app ON crm.custom_fields IS 'crm_ext d28f98250b04adcb909772e0b45fba8a';


--
-- Name: custom_fields custom_fields_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY custom_fields_select_multi ON crm.custom_fields FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('custom_fields.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('custom_fields.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY custom_fields_select_multi ON custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY custom_fields_select_multi ON crm.custom_fields IS 'crm_ext 65b7fe2add96298f91d5dbf6a45fe84b';


--
-- Name: custom_fields custom_fields_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY custom_fields_update_app ON crm.custom_fields FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('custom_fields.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('custom_fields.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('custom_fields.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('custom_fields.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY custom_fields_update_app ON custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY custom_fields_update_app ON crm.custom_fields IS 'crm_ext c7ed06eff5d07ffad7dcff8910f8069a';


--
-- Name: custom_fields custom_fields_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY custom_fields_update_multi ON crm.custom_fields FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('custom_fields.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('custom_fields.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('custom_fields.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('custom_fields.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY custom_fields_update_multi ON custom_fields; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY custom_fields_update_multi ON crm.custom_fields IS 'crm_ext 96edd01f49167ac6d76202edf9df52c3';


--
-- Name: daily_metrics; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.daily_metrics ENABLE ROW LEVEL SECURITY;

--
-- Name: daily_metrics daily_metrics_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY daily_metrics_delete_app ON crm.daily_metrics FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('daily_metrics.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('daily_metrics.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY daily_metrics_delete_app ON daily_metrics; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY daily_metrics_delete_app ON crm.daily_metrics IS 'crm_ext 1e7535d0aad7a5f60bceee863236b4cf';


--
-- Name: daily_metrics daily_metrics_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY daily_metrics_delete_multi ON crm.daily_metrics FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('daily_metrics.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('daily_metrics.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY daily_metrics_delete_multi ON daily_metrics; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY daily_metrics_delete_multi ON crm.daily_metrics IS 'crm_ext 9f1ee00006e18ecd7665c0dfa2752399';


--
-- Name: daily_metrics daily_metrics_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY daily_metrics_insert_app ON crm.daily_metrics FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('daily_metrics.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('daily_metrics.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY daily_metrics_insert_app ON daily_metrics; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY daily_metrics_insert_app ON crm.daily_metrics IS 'crm_ext b5af08dc7fedcaf2e45eb4ca604834c6';


--
-- Name: daily_metrics daily_metrics_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY daily_metrics_insert_multi ON crm.daily_metrics FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('daily_metrics.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('daily_metrics.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY daily_metrics_insert_multi ON daily_metrics; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY daily_metrics_insert_multi ON crm.daily_metrics IS 'crm_ext 18fb4455099796986362e182beb1cc20';


--
-- Name: daily_metrics daily_metrics_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY daily_metrics_select_app ON crm.daily_metrics FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('daily_metrics.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('daily_metrics.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY daily_metrics_select_app ON daily_metrics; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY daily_metrics_select_app ON crm.daily_metrics IS 'crm_ext ab448958ace23c7373701943646cf58f';


--
-- Name: daily_metrics daily_metrics_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY daily_metrics_select_multi ON crm.daily_metrics FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('daily_metrics.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('daily_metrics.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY daily_metrics_select_multi ON daily_metrics; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY daily_metrics_select_multi ON crm.daily_metrics IS 'crm_ext dc268eab3cde91ca0b4f8eab4b711e32';


--
-- Name: daily_metrics daily_metrics_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY daily_metrics_update_app ON crm.daily_metrics FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('daily_metrics.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('daily_metrics.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('daily_metrics.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('daily_metrics.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY daily_metrics_update_app ON daily_metrics; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY daily_metrics_update_app ON crm.daily_metrics IS 'crm_ext 206b0c7e1a4ddd5b66169cf55dc18270';


--
-- Name: daily_metrics daily_metrics_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY daily_metrics_update_multi ON crm.daily_metrics FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('daily_metrics.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('daily_metrics.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('daily_metrics.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('daily_metrics.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY daily_metrics_update_multi ON daily_metrics; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY daily_metrics_update_multi ON crm.daily_metrics IS 'crm_ext 14c2be51edf6d87809441768324cd095';


--
-- Name: deal_contacts; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.deal_contacts ENABLE ROW LEVEL SECURITY;

--
-- Name: deal_contacts deal_contacts_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_contacts_delete_app ON crm.deal_contacts FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('deals.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deal_contacts_delete_app ON deal_contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_contacts_delete_app ON crm.deal_contacts IS 'crm_ext ca7ab5ce4c935022416a2063bb0405ac';


--
-- Name: deal_contacts deal_contacts_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_contacts_delete_multi ON crm.deal_contacts FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deal_contacts_delete_multi ON deal_contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_contacts_delete_multi ON crm.deal_contacts IS 'crm_ext 2f2a84d2c33f520af796ea9593299895';


--
-- Name: deal_contacts deal_contacts_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_contacts_insert_app ON crm.deal_contacts FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('deals.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deal_contacts_insert_app ON deal_contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_contacts_insert_app ON crm.deal_contacts IS 'crm_ext d4b4d4527bd1b6996ab0abb8c4d4c38f';


--
-- Name: deal_contacts deal_contacts_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_contacts_insert_multi ON crm.deal_contacts FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deal_contacts_insert_multi ON deal_contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_contacts_insert_multi ON crm.deal_contacts IS 'crm_ext 78224e1ac82022e08e54e260459ea685';


--
-- Name: deal_contacts deal_contacts_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_contacts_select_app ON crm.deal_contacts FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('deals.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deal_contacts_select_app ON deal_contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_contacts_select_app ON crm.deal_contacts IS 'crm_ext 1882b20e4f8797e45f705f89322a401f';


--
-- Name: deal_contacts deal_contacts_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_contacts_select_multi ON crm.deal_contacts FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deal_contacts_select_multi ON deal_contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_contacts_select_multi ON crm.deal_contacts IS 'crm_ext 2f2a84d2c33f520af796ea9593299895';


--
-- Name: deal_contacts deal_contacts_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_contacts_update_app ON crm.deal_contacts FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('deals.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('deals.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deal_contacts_update_app ON deal_contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_contacts_update_app ON crm.deal_contacts IS 'crm_ext d486533d6d6a2cc44fa96fe5036c8009';


--
-- Name: deal_contacts deal_contacts_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_contacts_update_multi ON crm.deal_contacts FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deal_contacts_update_multi ON deal_contacts; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_contacts_update_multi ON crm.deal_contacts IS 'crm_ext 368b4b017cd9a82576042f2839eee3bb';


--
-- Name: deal_stage_changes; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.deal_stage_changes ENABLE ROW LEVEL SECURITY;

--
-- Name: deal_stage_changes deal_stage_changes_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_stage_changes_delete_app ON crm.deal_stage_changes FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('deals.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deal_stage_changes_delete_app ON deal_stage_changes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_stage_changes_delete_app ON crm.deal_stage_changes IS 'crm_ext ca7ab5ce4c935022416a2063bb0405ac';


--
-- Name: deal_stage_changes deal_stage_changes_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_stage_changes_delete_multi ON crm.deal_stage_changes FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deal_stage_changes_delete_multi ON deal_stage_changes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_stage_changes_delete_multi ON crm.deal_stage_changes IS 'crm_ext 2f2a84d2c33f520af796ea9593299895';


--
-- Name: deal_stage_changes deal_stage_changes_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_stage_changes_insert_app ON crm.deal_stage_changes FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('deals.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deal_stage_changes_insert_app ON deal_stage_changes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_stage_changes_insert_app ON crm.deal_stage_changes IS 'crm_ext d4b4d4527bd1b6996ab0abb8c4d4c38f';


--
-- Name: deal_stage_changes deal_stage_changes_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_stage_changes_insert_multi ON crm.deal_stage_changes FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deal_stage_changes_insert_multi ON deal_stage_changes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_stage_changes_insert_multi ON crm.deal_stage_changes IS 'crm_ext 78224e1ac82022e08e54e260459ea685';


--
-- Name: deal_stage_changes deal_stage_changes_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_stage_changes_select_app ON crm.deal_stage_changes FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('deals.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deal_stage_changes_select_app ON deal_stage_changes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_stage_changes_select_app ON crm.deal_stage_changes IS 'crm_ext 1882b20e4f8797e45f705f89322a401f';


--
-- Name: deal_stage_changes deal_stage_changes_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_stage_changes_select_multi ON crm.deal_stage_changes FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deal_stage_changes_select_multi ON deal_stage_changes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_stage_changes_select_multi ON crm.deal_stage_changes IS 'crm_ext 2f2a84d2c33f520af796ea9593299895';


--
-- Name: deal_stage_changes deal_stage_changes_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_stage_changes_update_app ON crm.deal_stage_changes FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('deals.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('deals.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deal_stage_changes_update_app ON deal_stage_changes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_stage_changes_update_app ON crm.deal_stage_changes IS 'crm_ext d486533d6d6a2cc44fa96fe5036c8009';


--
-- Name: deal_stage_changes deal_stage_changes_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deal_stage_changes_update_multi ON crm.deal_stage_changes FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deal_stage_changes_update_multi ON deal_stage_changes; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deal_stage_changes_update_multi ON crm.deal_stage_changes IS 'crm_ext 368b4b017cd9a82576042f2839eee3bb';


--
-- Name: deals; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.deals ENABLE ROW LEVEL SECURITY;

--
-- Name: deals deals_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deals_delete_app ON crm.deals FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('deals.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deals_delete_app ON deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deals_delete_app ON crm.deals IS 'crm_ext 70e15f57e1bb105c16db833623161321';


--
-- Name: deals deals_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deals_delete_multi ON crm.deals FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deals_delete_multi ON deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deals_delete_multi ON crm.deals IS 'crm_ext 2f2a84d2c33f520af796ea9593299895';


--
-- Name: deals deals_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deals_insert_app ON crm.deals FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('deals.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deals_insert_app ON deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deals_insert_app ON crm.deals IS 'crm_ext 24ec952ac688fe37e52512d4c00e3f28';


--
-- Name: deals deals_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deals_insert_multi ON crm.deals FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deals_insert_multi ON deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deals_insert_multi ON crm.deals IS 'crm_ext 6ed5f9dfbc50e88a5dfbfc09c953bce3';


--
-- Name: deals deals_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deals_select_app ON crm.deals FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('deals.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deals_select_app ON deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deals_select_app ON crm.deals IS 'crm_ext 1882b20e4f8797e45f705f89322a401f';


--
-- Name: deals deals_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deals_select_multi ON crm.deals FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deals_select_multi ON deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deals_select_multi ON crm.deals IS 'crm_ext 2f2a84d2c33f520af796ea9593299895';


--
-- Name: deals deals_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deals_update_app ON crm.deals FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('deals.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('deals.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('deals.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('deals.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY deals_update_app ON deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deals_update_app ON crm.deals IS 'crm_ext d486533d6d6a2cc44fa96fe5036c8009';


--
-- Name: deals deals_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY deals_update_multi ON crm.deals FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('deals.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('deals.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('deals.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY deals_update_multi ON deals; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY deals_update_multi ON crm.deals IS 'crm_ext 368b4b017cd9a82576042f2839eee3bb';


--
-- Name: estimate_items; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.estimate_items ENABLE ROW LEVEL SECURITY;

--
-- Name: estimate_items estimate_items_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimate_items_delete_app ON crm.estimate_items FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('estimates.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('estimates.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('estimates.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY estimate_items_delete_app ON estimate_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimate_items_delete_app ON crm.estimate_items IS 'crm_ext 640a6c9737c5602d2b31c9fc842c3bb7';


--
-- Name: estimate_items estimate_items_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimate_items_delete_multi ON crm.estimate_items FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('estimates.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('estimates.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('estimates.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY estimate_items_delete_multi ON estimate_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimate_items_delete_multi ON crm.estimate_items IS 'crm_ext 25d7ce27cd43b42ce097cd7f3feaf012';


--
-- Name: estimate_items estimate_items_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimate_items_insert_app ON crm.estimate_items FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('estimates.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('estimates.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('estimates.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY estimate_items_insert_app ON estimate_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimate_items_insert_app ON crm.estimate_items IS 'crm_ext 89e3133aa91af469c0d56d43583db457';


--
-- Name: estimate_items estimate_items_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimate_items_insert_multi ON crm.estimate_items FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('estimates.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('estimates.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('estimates.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY estimate_items_insert_multi ON estimate_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimate_items_insert_multi ON crm.estimate_items IS 'crm_ext 0745dfa93b4f70ead34066f363c84108';


--
-- Name: estimate_items estimate_items_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimate_items_select_app ON crm.estimate_items FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('estimates.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('estimates.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('estimates.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY estimate_items_select_app ON estimate_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimate_items_select_app ON crm.estimate_items IS 'crm_ext 54799b052b8cb6f0c013f8055b7ffc6e';


--
-- Name: estimate_items estimate_items_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimate_items_select_multi ON crm.estimate_items FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('estimates.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('estimates.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('estimates.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY estimate_items_select_multi ON estimate_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimate_items_select_multi ON crm.estimate_items IS 'crm_ext 25d7ce27cd43b42ce097cd7f3feaf012';


--
-- Name: estimate_items estimate_items_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimate_items_update_app ON crm.estimate_items FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('estimates.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('estimates.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('estimates.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('estimates.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('estimates.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('estimates.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY estimate_items_update_app ON estimate_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimate_items_update_app ON crm.estimate_items IS 'crm_ext 76bb6a747607b72ad62c4176cd540a4f';


--
-- Name: estimate_items estimate_items_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimate_items_update_multi ON crm.estimate_items FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('estimates.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('estimates.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('estimates.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('estimates.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('estimates.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('estimates.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY estimate_items_update_multi ON estimate_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimate_items_update_multi ON crm.estimate_items IS 'crm_ext 363575a1132f195d751b7f9959a4bd3f';


--
-- Name: estimates; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.estimates ENABLE ROW LEVEL SECURITY;

--
-- Name: estimates estimates_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimates_delete_app ON crm.estimates FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('estimates.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('estimates.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('estimates.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY estimates_delete_app ON estimates; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimates_delete_app ON crm.estimates IS 'crm_ext 45000c40b6d60244eda9b9226053d43d';


--
-- Name: estimates estimates_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimates_delete_multi ON crm.estimates FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('estimates.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('estimates.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('estimates.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY estimates_delete_multi ON estimates; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimates_delete_multi ON crm.estimates IS 'crm_ext 25d7ce27cd43b42ce097cd7f3feaf012';


--
-- Name: estimates estimates_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimates_insert_app ON crm.estimates FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('estimates.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('estimates.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('estimates.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY estimates_insert_app ON estimates; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimates_insert_app ON crm.estimates IS 'crm_ext eb087e3a06f8a211819a79378cf71947';


--
-- Name: estimates estimates_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimates_insert_multi ON crm.estimates FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('estimates.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('estimates.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('estimates.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY estimates_insert_multi ON estimates; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimates_insert_multi ON crm.estimates IS 'crm_ext 61ba0524acec3158067d2038afa9a126';


--
-- Name: estimates estimates_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimates_select_app ON crm.estimates FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('estimates.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('estimates.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('estimates.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY estimates_select_app ON estimates; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimates_select_app ON crm.estimates IS 'crm_ext 54799b052b8cb6f0c013f8055b7ffc6e';


--
-- Name: estimates estimates_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimates_select_multi ON crm.estimates FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('estimates.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('estimates.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('estimates.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY estimates_select_multi ON estimates; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimates_select_multi ON crm.estimates IS 'crm_ext 25d7ce27cd43b42ce097cd7f3feaf012';


--
-- Name: estimates estimates_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimates_update_app ON crm.estimates FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('estimates.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('estimates.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('estimates.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('estimates.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('estimates.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('estimates.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY estimates_update_app ON estimates; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimates_update_app ON crm.estimates IS 'crm_ext 76bb6a747607b72ad62c4176cd540a4f';


--
-- Name: estimates estimates_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY estimates_update_multi ON crm.estimates FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('estimates.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('estimates.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('estimates.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('estimates.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('estimates.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('estimates.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY estimates_update_multi ON estimates; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY estimates_update_multi ON crm.estimates IS 'crm_ext 363575a1132f195d751b7f9959a4bd3f';


--
-- Name: group_members; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.group_members ENABLE ROW LEVEL SECURITY;

--
-- Name: group_members group_members_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_members_all_definer ON crm.group_members TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: group_members group_members_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_members_delete_app ON crm.group_members FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('group_members.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_members.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_members_delete_app ON group_members; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_members_delete_app ON crm.group_members IS 'crm_ext 74281fc2324a62896e971ea7c060e50d';


--
-- Name: group_members group_members_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_members_delete_multi ON crm.group_members FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('group_members.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_members.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_members_delete_multi ON group_members; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_members_delete_multi ON crm.group_members IS 'crm_ext 2dea677d205309eec5ee17724564333d';


--
-- Name: group_members group_members_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_members_insert_app ON crm.group_members FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('group_members.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_members.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_members_insert_app ON group_members; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_members_insert_app ON crm.group_members IS 'crm_ext ae8cd871745393e9ca9c5c245c9ee72e';


--
-- Name: group_members group_members_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_members_insert_multi ON crm.group_members FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('group_members.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_members.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_members_insert_multi ON group_members; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_members_insert_multi ON crm.group_members IS 'crm_ext e4bb4d763b0fc3531fd4393f93448998';


--
-- Name: group_members group_members_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_members_select_app ON crm.group_members FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('group_members.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_members.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_members_select_app ON group_members; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_members_select_app ON crm.group_members IS 'crm_ext 9048ac1a4a7a882a6e1744332c98a2f0';


--
-- Name: group_members group_members_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_members_select_multi ON crm.group_members FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('group_members.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_members.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_members_select_multi ON group_members; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_members_select_multi ON crm.group_members IS 'crm_ext 70bbeb6cb122418286680b421a6a5fec';


--
-- Name: group_members group_members_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_members_update_app ON crm.group_members FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('group_members.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_members.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('group_members.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_members.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_members_update_app ON group_members; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_members_update_app ON crm.group_members IS 'crm_ext 03da7fa8ac624db00ba8221df18f9bfd';


--
-- Name: group_members group_members_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_members_update_multi ON crm.group_members FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('group_members.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_members.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('group_members.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_members.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_members_update_multi ON group_members; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_members_update_multi ON crm.group_members IS 'crm_ext a70cd4ebbdbd39822649fe7faa7fa214';


--
-- Name: group_permissions; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.group_permissions ENABLE ROW LEVEL SECURITY;

--
-- Name: group_permissions group_permissions_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_permissions_all_definer ON crm.group_permissions TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: group_permissions group_permissions_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_permissions_delete_app ON crm.group_permissions FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('group_permissions.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_permissions.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_permissions_delete_app ON group_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_permissions_delete_app ON crm.group_permissions IS 'crm_ext e7ae423451826890ef5a0baae38c9f7f';


--
-- Name: group_permissions group_permissions_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_permissions_delete_multi ON crm.group_permissions FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('group_permissions.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_permissions.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_permissions_delete_multi ON group_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_permissions_delete_multi ON crm.group_permissions IS 'crm_ext 63880c5d2cead412adbc7011ec3dc031';


--
-- Name: group_permissions group_permissions_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_permissions_insert_app ON crm.group_permissions FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('group_permissions.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_permissions.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_permissions_insert_app ON group_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_permissions_insert_app ON crm.group_permissions IS 'crm_ext d33d7b89b136c9a75b6763c7b216ee08';


--
-- Name: group_permissions group_permissions_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_permissions_insert_multi ON crm.group_permissions FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('group_permissions.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_permissions.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_permissions_insert_multi ON group_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_permissions_insert_multi ON crm.group_permissions IS 'crm_ext 5eaa6d30c42a5e0577001367814459e1';


--
-- Name: group_permissions group_permissions_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_permissions_select_app ON crm.group_permissions FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('group_permissions.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_permissions.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_permissions_select_app ON group_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_permissions_select_app ON crm.group_permissions IS 'crm_ext 31ead6efc93dec0f3df19d19a89c9b7b';


--
-- Name: group_permissions group_permissions_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_permissions_select_multi ON crm.group_permissions FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('group_permissions.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_permissions.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_permissions_select_multi ON group_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_permissions_select_multi ON crm.group_permissions IS 'crm_ext a74739d1f1c62f8ca3f62375495749d3';


--
-- Name: group_permissions group_permissions_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_permissions_update_app ON crm.group_permissions FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('group_permissions.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_permissions.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('group_permissions.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_permissions.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_permissions_update_app ON group_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_permissions_update_app ON crm.group_permissions IS 'crm_ext c2910e4b9a3f0cd8aec6ac0538beb69b';


--
-- Name: group_permissions group_permissions_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_permissions_update_multi ON crm.group_permissions FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('group_permissions.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_permissions.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('group_permissions.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_permissions.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_permissions_update_multi ON group_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_permissions_update_multi ON crm.group_permissions IS 'crm_ext 9e29d4df26d6f04a87acee7bccac9b20';


--
-- Name: group_roles; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.group_roles ENABLE ROW LEVEL SECURITY;

--
-- Name: group_roles group_roles_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_roles_all_definer ON crm.group_roles TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: group_roles group_roles_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_roles_delete_app ON crm.group_roles FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('group_roles.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_roles.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_roles_delete_app ON group_roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_roles_delete_app ON crm.group_roles IS 'crm_ext 75cb6af5aa3550a331f25ac2f3a73b00';


--
-- Name: group_roles group_roles_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_roles_delete_multi ON crm.group_roles FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('group_roles.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_roles.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_roles_delete_multi ON group_roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_roles_delete_multi ON crm.group_roles IS 'crm_ext 10d1de0706a6c43a34666152010dae2a';


--
-- Name: group_roles group_roles_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_roles_insert_app ON crm.group_roles FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('group_roles.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_roles.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_roles_insert_app ON group_roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_roles_insert_app ON crm.group_roles IS 'crm_ext 4e888cadcbe96404a845c570205b97ce';


--
-- Name: group_roles group_roles_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_roles_insert_multi ON crm.group_roles FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('group_roles.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_roles.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_roles_insert_multi ON group_roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_roles_insert_multi ON crm.group_roles IS 'crm_ext 0fd17e0f83e8921aeb809133821bbfd9';


--
-- Name: group_roles group_roles_not_above; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_roles_not_above ON crm.group_roles AS RESTRICTIVE TO crm_app, crm_multi USING (((CURRENT_USER = 'crm_definer'::name) OR (role = ANY (( SELECT crm.readable_roles() AS readable_roles)::text[])))) WITH CHECK (true);


--
-- Name: group_roles group_roles_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_roles_select_app ON crm.group_roles FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('group_roles.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_roles.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_roles_select_app ON group_roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_roles_select_app ON crm.group_roles IS 'crm_ext ab2d7bb3b5f66f88a176a3e489e0df7f';


--
-- Name: group_roles group_roles_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_roles_select_multi ON crm.group_roles FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('group_roles.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_roles.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_roles_select_multi ON group_roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_roles_select_multi ON crm.group_roles IS 'crm_ext 3536efabb4d34302be42f45a20fbea2b';


--
-- Name: group_roles group_roles_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_roles_update_app ON crm.group_roles FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('group_roles.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_roles.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('group_roles.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('group_roles.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY group_roles_update_app ON group_roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_roles_update_app ON crm.group_roles IS 'crm_ext dfc1c162756ecaecf7c3d28a86eccdce';


--
-- Name: group_roles group_roles_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY group_roles_update_multi ON crm.group_roles FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('group_roles.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_roles.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('group_roles.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('group_roles.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY group_roles_update_multi ON group_roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY group_roles_update_multi ON crm.group_roles IS 'crm_ext 02877b8c08d1e5798de09b6848f9f92f';


--
-- Name: groups; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.groups ENABLE ROW LEVEL SECURITY;

--
-- Name: groups groups_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY groups_all_definer ON crm.groups TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: groups groups_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY groups_delete_app ON crm.groups FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('groups.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('groups.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY groups_delete_app ON groups; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY groups_delete_app ON crm.groups IS 'crm_ext ff0226e87dc14aa7dd22f6eba2482a8d';


--
-- Name: groups groups_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY groups_delete_multi ON crm.groups FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('groups.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('groups.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY groups_delete_multi ON groups; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY groups_delete_multi ON crm.groups IS 'crm_ext 9153c61ffc5051488b6fd39aef1aa23f';


--
-- Name: groups groups_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY groups_insert_app ON crm.groups FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('groups.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('groups.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY groups_insert_app ON groups; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY groups_insert_app ON crm.groups IS 'crm_ext 7e308717ab1040946d6193d4e4dee2e2';


--
-- Name: groups groups_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY groups_insert_multi ON crm.groups FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('groups.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('groups.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY groups_insert_multi ON groups; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY groups_insert_multi ON crm.groups IS 'crm_ext 80d4047bbf26459b218db85cc6181bcc';


--
-- Name: groups groups_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY groups_select_app ON crm.groups FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('groups.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('groups.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY groups_select_app ON groups; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY groups_select_app ON crm.groups IS 'crm_ext 8d0f42b7aa2b0788cf6572bcb4bf5e29';


--
-- Name: groups groups_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY groups_select_multi ON crm.groups FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('groups.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('groups.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY groups_select_multi ON groups; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY groups_select_multi ON crm.groups IS 'crm_ext 9b2b7b1b5c938e5baec79b59846fdfb8';


--
-- Name: groups groups_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY groups_update_app ON crm.groups FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('groups.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('groups.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('groups.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('groups.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY groups_update_app ON groups; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY groups_update_app ON crm.groups IS 'crm_ext 822256b13276f6e359137bb6b21e0610';


--
-- Name: groups groups_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY groups_update_multi ON crm.groups FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('groups.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('groups.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('groups.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('groups.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY groups_update_multi ON groups; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY groups_update_multi ON crm.groups IS 'crm_ext cbf494df90a5e7500135d2cbe738f4ac';


--
-- Name: invoice_items; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.invoice_items ENABLE ROW LEVEL SECURITY;

--
-- Name: invoice_items invoice_items_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoice_items_delete_app ON crm.invoice_items FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('invoices.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('invoices.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('invoices.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY invoice_items_delete_app ON invoice_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoice_items_delete_app ON crm.invoice_items IS 'crm_ext 31dbf4cae75ad4e70b7b616fe646afd3';


--
-- Name: invoice_items invoice_items_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoice_items_delete_multi ON crm.invoice_items FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('invoices.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('invoices.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('invoices.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY invoice_items_delete_multi ON invoice_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoice_items_delete_multi ON crm.invoice_items IS 'crm_ext 336754c0e5c8658cf7f4f76ac1d63824';


--
-- Name: invoice_items invoice_items_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoice_items_insert_app ON crm.invoice_items FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('invoices.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('invoices.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('invoices.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY invoice_items_insert_app ON invoice_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoice_items_insert_app ON crm.invoice_items IS 'crm_ext 166cb56fe9bf20c167f3709be19ce28d';


--
-- Name: invoice_items invoice_items_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoice_items_insert_multi ON crm.invoice_items FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('invoices.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('invoices.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('invoices.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY invoice_items_insert_multi ON invoice_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoice_items_insert_multi ON crm.invoice_items IS 'crm_ext e9613b2c6bf6d20c956067351569914c';


--
-- Name: invoice_items invoice_items_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoice_items_select_app ON crm.invoice_items FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('invoices.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('invoices.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('invoices.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY invoice_items_select_app ON invoice_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoice_items_select_app ON crm.invoice_items IS 'crm_ext 473468a3249b44eace4332589fb70098';


--
-- Name: invoice_items invoice_items_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoice_items_select_multi ON crm.invoice_items FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('invoices.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('invoices.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('invoices.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY invoice_items_select_multi ON invoice_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoice_items_select_multi ON crm.invoice_items IS 'crm_ext 336754c0e5c8658cf7f4f76ac1d63824';


--
-- Name: invoice_items invoice_items_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoice_items_update_app ON crm.invoice_items FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('invoices.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('invoices.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('invoices.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('invoices.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('invoices.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('invoices.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY invoice_items_update_app ON invoice_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoice_items_update_app ON crm.invoice_items IS 'crm_ext 04a99915bcbd7caf50620196f2247b9f';


--
-- Name: invoice_items invoice_items_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoice_items_update_multi ON crm.invoice_items FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('invoices.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('invoices.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('invoices.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('invoices.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('invoices.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('invoices.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY invoice_items_update_multi ON invoice_items; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoice_items_update_multi ON crm.invoice_items IS 'crm_ext 330dc62e196c272adb0154bbbd82bd29';


--
-- Name: invoices; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.invoices ENABLE ROW LEVEL SECURITY;

--
-- Name: invoices invoices_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoices_delete_app ON crm.invoices FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('invoices.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('invoices.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('invoices.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY invoices_delete_app ON invoices; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoices_delete_app ON crm.invoices IS 'crm_ext a813be5283d8e5c084c53eef532a3064';


--
-- Name: invoices invoices_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoices_delete_multi ON crm.invoices FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('invoices.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('invoices.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('invoices.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY invoices_delete_multi ON invoices; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoices_delete_multi ON crm.invoices IS 'crm_ext 336754c0e5c8658cf7f4f76ac1d63824';


--
-- Name: invoices invoices_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoices_insert_app ON crm.invoices FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('invoices.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('invoices.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('invoices.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY invoices_insert_app ON invoices; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoices_insert_app ON crm.invoices IS 'crm_ext 48e8b80d5b8da934564a516dce70e733';


--
-- Name: invoices invoices_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoices_insert_multi ON crm.invoices FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('invoices.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('invoices.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('invoices.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY invoices_insert_multi ON invoices; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoices_insert_multi ON crm.invoices IS 'crm_ext d260c04bf06d031b9b4bb4c6dbea36a6';


--
-- Name: invoices invoices_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoices_select_app ON crm.invoices FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('invoices.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('invoices.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('invoices.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY invoices_select_app ON invoices; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoices_select_app ON crm.invoices IS 'crm_ext 473468a3249b44eace4332589fb70098';


--
-- Name: invoices invoices_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoices_select_multi ON crm.invoices FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('invoices.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('invoices.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('invoices.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY invoices_select_multi ON invoices; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoices_select_multi ON crm.invoices IS 'crm_ext 336754c0e5c8658cf7f4f76ac1d63824';


--
-- Name: invoices invoices_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoices_update_app ON crm.invoices FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('invoices.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('invoices.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('invoices.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('invoices.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('invoices.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('invoices.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY invoices_update_app ON invoices; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoices_update_app ON crm.invoices IS 'crm_ext 04a99915bcbd7caf50620196f2247b9f';


--
-- Name: invoices invoices_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY invoices_update_multi ON crm.invoices FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('invoices.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('invoices.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('invoices.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('invoices.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('invoices.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('invoices.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY invoices_update_multi ON invoices; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY invoices_update_multi ON crm.invoices IS 'crm_ext 330dc62e196c272adb0154bbbd82bd29';


--
-- Name: jobs; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.jobs ENABLE ROW LEVEL SECURITY;

--
-- Name: jobs jobs_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY jobs_delete_app ON crm.jobs FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('jobs.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('jobs.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('jobs.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY jobs_delete_app ON jobs; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY jobs_delete_app ON crm.jobs IS 'crm_ext e8057283472425ef847b1b879186bfe1';


--
-- Name: jobs jobs_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY jobs_delete_multi ON crm.jobs FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('jobs.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('jobs.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('jobs.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY jobs_delete_multi ON jobs; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY jobs_delete_multi ON crm.jobs IS 'crm_ext b4ff2a4179808d28306d66d3c7394ea3';


--
-- Name: jobs jobs_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY jobs_insert_app ON crm.jobs FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('jobs.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('jobs.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('jobs.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY jobs_insert_app ON jobs; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY jobs_insert_app ON crm.jobs IS 'crm_ext 8a18a183f383aef3e369463b21e50d55';


--
-- Name: jobs jobs_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY jobs_insert_multi ON crm.jobs FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('jobs.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('jobs.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('jobs.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY jobs_insert_multi ON jobs; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY jobs_insert_multi ON crm.jobs IS 'crm_ext 77940fe81fcffe0bd28087809dbea5eb';


--
-- Name: jobs jobs_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY jobs_select_app ON crm.jobs FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('jobs.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('jobs.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('jobs.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY jobs_select_app ON jobs; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY jobs_select_app ON crm.jobs IS 'crm_ext 6118b6645ba22d5af0b8057dfe836b28';


--
-- Name: jobs jobs_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY jobs_select_multi ON crm.jobs FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('jobs.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('jobs.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('jobs.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY jobs_select_multi ON jobs; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY jobs_select_multi ON crm.jobs IS 'crm_ext b4ff2a4179808d28306d66d3c7394ea3';


--
-- Name: jobs jobs_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY jobs_update_app ON crm.jobs FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('jobs.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('jobs.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('jobs.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('jobs.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('jobs.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('jobs.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY jobs_update_app ON jobs; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY jobs_update_app ON crm.jobs IS 'crm_ext 33c7f034a4419a697971393125f13562';


--
-- Name: jobs jobs_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY jobs_update_multi ON crm.jobs FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('jobs.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('jobs.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('jobs.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('jobs.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('jobs.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('jobs.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY jobs_update_multi ON jobs; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY jobs_update_multi ON crm.jobs IS 'crm_ext 81c009fa927099c24fb94bc10f955571';


--
-- Name: leads; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.leads ENABLE ROW LEVEL SECURITY;

--
-- Name: leads leads_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY leads_delete_app ON crm.leads FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('leads.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('leads.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('leads.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY leads_delete_app ON leads; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY leads_delete_app ON crm.leads IS 'crm_ext f4da27fe93f1b9d2dceb859a69bfa59c';


--
-- Name: leads leads_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY leads_delete_multi ON crm.leads FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('leads.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('leads.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('leads.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY leads_delete_multi ON leads; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY leads_delete_multi ON crm.leads IS 'crm_ext bd36ceea17d565bd2dd789c903a4572c';


--
-- Name: leads leads_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY leads_insert_app ON crm.leads FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('leads.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('leads.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('leads.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY leads_insert_app ON leads; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY leads_insert_app ON crm.leads IS 'crm_ext 3f6ab9cbe1b76f306995fc356dbae466';


--
-- Name: leads leads_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY leads_insert_multi ON crm.leads FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('leads.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('leads.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('leads.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY leads_insert_multi ON leads; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY leads_insert_multi ON crm.leads IS 'crm_ext 1c432427a36525dc76c6a363ab364ad8';


--
-- Name: leads leads_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY leads_select_app ON crm.leads FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('leads.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('leads.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('leads.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY leads_select_app ON leads; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY leads_select_app ON crm.leads IS 'crm_ext c912b830af830682709503ceb031e550';


--
-- Name: leads leads_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY leads_select_multi ON crm.leads FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('leads.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('leads.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('leads.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY leads_select_multi ON leads; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY leads_select_multi ON crm.leads IS 'crm_ext bd36ceea17d565bd2dd789c903a4572c';


--
-- Name: leads leads_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY leads_update_app ON crm.leads FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('leads.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('leads.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('leads.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('leads.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('leads.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('leads.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY leads_update_app ON leads; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY leads_update_app ON crm.leads IS 'crm_ext b3c7a024074138fcdd9bb2829b5ede8b';


--
-- Name: leads leads_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY leads_update_multi ON crm.leads FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('leads.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('leads.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('leads.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('leads.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('leads.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('leads.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY leads_update_multi ON leads; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY leads_update_multi ON crm.leads IS 'crm_ext 35a4b37ec0eed7f67a564adf02238bdc';


--
-- Name: memberships; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.memberships ENABLE ROW LEVEL SECURITY;

--
-- Name: memberships memberships_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY memberships_all_definer ON crm.memberships TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: memberships memberships_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY memberships_select_app ON crm.memberships FOR SELECT TO crm_app USING ((org_id = ( SELECT crm.all_scope_org_id('memberships.read'::text) AS all_scope_org_id)));


--
-- Name: memberships memberships_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY memberships_select_multi ON crm.memberships FOR SELECT TO crm_multi USING ((org_id = ANY (( SELECT crm.all_scope_org_ids('memberships.read'::text) AS all_scope_org_ids)::uuid[])));


--
-- Name: memberships memberships_select_platform; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY memberships_select_platform ON crm.memberships FOR SELECT TO crm_service, crm_admin USING (( SELECT crm.permitted_to_platform('users.read'::text) AS permitted_to_platform));


--
-- Name: messages; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.messages ENABLE ROW LEVEL SECURITY;

--
-- Name: messages messages_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY messages_delete_app ON crm.messages FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('messages.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('messages.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('messages.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY messages_delete_app ON messages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY messages_delete_app ON crm.messages IS 'crm_ext 0e3c5032359382b04cdbba193b428a61';


--
-- Name: messages messages_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY messages_delete_multi ON crm.messages FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('messages.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('messages.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('messages.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY messages_delete_multi ON messages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY messages_delete_multi ON crm.messages IS 'crm_ext 62687efe7e4e354df6e1e69c1dda439b';


--
-- Name: messages messages_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY messages_insert_app ON crm.messages FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('messages.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('messages.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('messages.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY messages_insert_app ON messages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY messages_insert_app ON crm.messages IS 'crm_ext d925fd0e449bba0a2ea73390f94eb8e4';


--
-- Name: messages messages_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY messages_insert_multi ON crm.messages FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('messages.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('messages.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('messages.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY messages_insert_multi ON messages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY messages_insert_multi ON crm.messages IS 'crm_ext b135bb5804f7fc5ad359d590f4cc7404';


--
-- Name: messages messages_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY messages_select_app ON crm.messages FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('messages.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('messages.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('messages.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY messages_select_app ON messages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY messages_select_app ON crm.messages IS 'crm_ext 79fa70dfdb811feec95755808622d145';


--
-- Name: messages messages_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY messages_select_multi ON crm.messages FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('messages.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('messages.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('messages.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY messages_select_multi ON messages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY messages_select_multi ON crm.messages IS 'crm_ext 62687efe7e4e354df6e1e69c1dda439b';


--
-- Name: messages messages_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY messages_update_app ON crm.messages FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('messages.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('messages.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('messages.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('messages.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('messages.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('messages.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY messages_update_app ON messages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY messages_update_app ON crm.messages IS 'crm_ext e3b2664a9d08fc474f3f32a6ede4099d';


--
-- Name: messages messages_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY messages_update_multi ON crm.messages FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('messages.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('messages.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('messages.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('messages.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('messages.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('messages.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY messages_update_multi ON messages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY messages_update_multi ON crm.messages IS 'crm_ext 2d091e95e7919c636a9ec145ea671803';


--
-- Name: notifications; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.notifications ENABLE ROW LEVEL SECURITY;

--
-- Name: notifications notifications_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY notifications_delete_app ON crm.notifications FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('notifications.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('notifications.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('notifications.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY notifications_delete_app ON notifications; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY notifications_delete_app ON crm.notifications IS 'crm_ext 22cc7d814ff42dbe85d80ec3298da1ff';


--
-- Name: notifications notifications_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY notifications_delete_multi ON crm.notifications FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('notifications.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('notifications.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('notifications.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY notifications_delete_multi ON notifications; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY notifications_delete_multi ON crm.notifications IS 'crm_ext 7c4bcb2f21ea12f955d7bd4b1b33d706';


--
-- Name: notifications notifications_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY notifications_insert_app ON crm.notifications FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('notifications.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('notifications.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('notifications.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY notifications_insert_app ON notifications; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY notifications_insert_app ON crm.notifications IS 'crm_ext a1d12ad98bf8eab8bf3a9218122dea6b';


--
-- Name: notifications notifications_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY notifications_insert_multi ON crm.notifications FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('notifications.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('notifications.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('notifications.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY notifications_insert_multi ON notifications; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY notifications_insert_multi ON crm.notifications IS 'crm_ext 3ba63dee78858cb4bcb14611fe8e9768';


--
-- Name: notifications notifications_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY notifications_select_app ON crm.notifications FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('notifications.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('notifications.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('notifications.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY notifications_select_app ON notifications; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY notifications_select_app ON crm.notifications IS 'crm_ext 9d40d4585593a400af31d97b1e9db458';


--
-- Name: notifications notifications_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY notifications_select_multi ON crm.notifications FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('notifications.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('notifications.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('notifications.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY notifications_select_multi ON notifications; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY notifications_select_multi ON crm.notifications IS 'crm_ext 7c4bcb2f21ea12f955d7bd4b1b33d706';


--
-- Name: notifications notifications_to_oneself; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY notifications_to_oneself ON crm.notifications AS RESTRICTIVE TO crm_app, crm_multi USING (((CURRENT_USER = 'crm_definer'::name) OR (owner_id = ( SELECT crm.current_user_id() AS current_user_id)))) WITH CHECK (true);


--
-- Name: notifications notifications_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY notifications_update_app ON crm.notifications FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('notifications.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('notifications.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('notifications.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('notifications.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('notifications.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('notifications.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY notifications_update_app ON notifications; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY notifications_update_app ON crm.notifications IS 'crm_ext e5805db585ecfd56777c2ee94df6c07e';


--
-- Name: notifications notifications_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY notifications_update_multi ON crm.notifications FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('notifications.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('notifications.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('notifications.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('notifications.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('notifications.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('notifications.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY notifications_update_multi ON notifications; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY notifications_update_multi ON crm.notifications IS 'crm_ext ffef6fd6a09fc66bbc697011a90080f6';


--
-- Name: number_series; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.number_series ENABLE ROW LEVEL SECURITY;

--
-- Name: number_series number_series_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY number_series_delete_app ON crm.number_series FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('number_series.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('number_series.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY number_series_delete_app ON number_series; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY number_series_delete_app ON crm.number_series IS 'crm_ext d031a22709dbc5c3497779c86ff59f89';


--
-- Name: number_series number_series_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY number_series_delete_multi ON crm.number_series FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('number_series.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('number_series.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY number_series_delete_multi ON number_series; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY number_series_delete_multi ON crm.number_series IS 'crm_ext ab3d247e84bf994504f4da29eff63873';


--
-- Name: number_series number_series_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY number_series_insert_app ON crm.number_series FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('number_series.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('number_series.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY number_series_insert_app ON number_series; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY number_series_insert_app ON crm.number_series IS 'crm_ext 0f3feae7b1e2daba3eb90bd9e1c202b5';


--
-- Name: number_series number_series_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY number_series_insert_multi ON crm.number_series FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('number_series.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('number_series.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY number_series_insert_multi ON number_series; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY number_series_insert_multi ON crm.number_series IS 'crm_ext b35940197635f3bbe2128b6ec372bbdd';


--
-- Name: number_series number_series_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY number_series_select_app ON crm.number_series FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('number_series.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('number_series.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY number_series_select_app ON number_series; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY number_series_select_app ON crm.number_series IS 'crm_ext 0bd73c7c32309e1147cc57cef97b0a10';


--
-- Name: number_series number_series_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY number_series_select_multi ON crm.number_series FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('number_series.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('number_series.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY number_series_select_multi ON number_series; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY number_series_select_multi ON crm.number_series IS 'crm_ext 87946afd4e14aa7f7790a15c00275c05';


--
-- Name: number_series number_series_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY number_series_update_app ON crm.number_series FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('number_series.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('number_series.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('number_series.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('number_series.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY number_series_update_app ON number_series; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY number_series_update_app ON crm.number_series IS 'crm_ext a460b83ce0541587025b87a720b2f7c9';


--
-- Name: number_series number_series_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY number_series_update_multi ON crm.number_series FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('number_series.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('number_series.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('number_series.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('number_series.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY number_series_update_multi ON number_series; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY number_series_update_multi ON crm.number_series IS 'crm_ext c53f047ef9c27d66a69b023f2c93681e';


--
-- Name: organizations; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.organizations ENABLE ROW LEVEL SECURITY;

--
-- Name: organizations organizations_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY organizations_all_definer ON crm.organizations TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: organizations organizations_insert_platform; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY organizations_insert_platform ON crm.organizations FOR INSERT TO crm_service, crm_admin WITH CHECK (( SELECT crm.permitted_to_platform('organizations.create'::text) AS permitted_to_platform));


--
-- Name: organizations organizations_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY organizations_select_app ON crm.organizations FOR SELECT TO crm_app USING ((id = ANY (( SELECT crm.my_org_ids() AS my_org_ids)::uuid[])));


--
-- Name: organizations organizations_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY organizations_select_multi ON crm.organizations FOR SELECT TO crm_multi USING ((id = ANY (( SELECT crm.my_org_ids() AS my_org_ids)::uuid[])));


--
-- Name: organizations organizations_select_platform; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY organizations_select_platform ON crm.organizations FOR SELECT TO crm_service, crm_admin USING (( SELECT crm.permitted_to_platform('organizations.read'::text) AS permitted_to_platform));


--
-- Name: organizations organizations_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY organizations_update_app ON crm.organizations FOR UPDATE TO crm_app USING ((id = ANY (( SELECT crm.my_org_ids() AS my_org_ids)::uuid[]))) WITH CHECK ((id = ( SELECT crm.all_scope_org_id('organizations.update'::text) AS all_scope_org_id)));


--
-- Name: organizations organizations_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY organizations_update_multi ON crm.organizations FOR UPDATE TO crm_multi USING ((id = ANY (( SELECT crm.my_org_ids() AS my_org_ids)::uuid[]))) WITH CHECK ((id = ANY (( SELECT crm.all_scope_org_ids('organizations.update'::text) AS all_scope_org_ids)::uuid[])));


--
-- Name: organizations organizations_update_platform; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY organizations_update_platform ON crm.organizations FOR UPDATE TO crm_service, crm_admin USING (( SELECT crm.permitted_to_platform('organizations.update'::text) AS permitted_to_platform)) WITH CHECK (( SELECT crm.permitted_to_platform('organizations.update'::text) AS permitted_to_platform));


--
-- Name: payments; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.payments ENABLE ROW LEVEL SECURITY;

--
-- Name: payments payments_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY payments_delete_app ON crm.payments FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('payments.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('payments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('payments.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY payments_delete_app ON payments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY payments_delete_app ON crm.payments IS 'crm_ext f837416d78ba05f724ef377c2e855e48';


--
-- Name: payments payments_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY payments_delete_multi ON crm.payments FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('payments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('payments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('payments.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY payments_delete_multi ON payments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY payments_delete_multi ON crm.payments IS 'crm_ext 3dc9b0eebae0458361e43ddee0033082';


--
-- Name: payments payments_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY payments_insert_app ON crm.payments FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('payments.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('payments.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('payments.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY payments_insert_app ON payments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY payments_insert_app ON crm.payments IS 'crm_ext abc6b989f982e1ad2ba775ff8e0f7ec0';


--
-- Name: payments payments_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY payments_insert_multi ON crm.payments FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('payments.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('payments.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('payments.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY payments_insert_multi ON payments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY payments_insert_multi ON crm.payments IS 'crm_ext 3049d66071480bcf63fdc82ffa5a07f9';


--
-- Name: payments payments_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY payments_select_app ON crm.payments FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('payments.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('payments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('payments.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY payments_select_app ON payments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY payments_select_app ON crm.payments IS 'crm_ext 8bd70263a6b7ac7398e16381b5da08f1';


--
-- Name: payments payments_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY payments_select_multi ON crm.payments FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('payments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('payments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('payments.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY payments_select_multi ON payments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY payments_select_multi ON crm.payments IS 'crm_ext 3dc9b0eebae0458361e43ddee0033082';


--
-- Name: payments payments_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY payments_update_app ON crm.payments FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('payments.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('payments.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('payments.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('payments.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('payments.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('payments.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY payments_update_app ON payments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY payments_update_app ON crm.payments IS 'crm_ext 95d9536e5f10505fe56baee1382be06a';


--
-- Name: payments payments_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY payments_update_multi ON crm.payments FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('payments.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('payments.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('payments.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('payments.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('payments.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('payments.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY payments_update_multi ON payments; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY payments_update_multi ON crm.payments IS 'crm_ext a8b25c27b2a9dab9f41cc65cb2cb32b1';


--
-- Name: permissions; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.permissions ENABLE ROW LEVEL SECURITY;

--
-- Name: permissions permissions_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY permissions_all_definer ON crm.permissions TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: permissions permissions_all_owner; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY permissions_all_owner ON crm.permissions TO crm_owner USING (true) WITH CHECK (true);


--
-- Name: permissions permissions_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY permissions_select_app ON crm.permissions FOR SELECT TO crm_app USING ((( SELECT crm.permitted_org_id('roles.read'::text) AS permitted_org_id) IS NOT NULL));


--
-- Name: pipeline_stages; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.pipeline_stages ENABLE ROW LEVEL SECURITY;

--
-- Name: pipeline_stages pipeline_stages_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipeline_stages_delete_app ON crm.pipeline_stages FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('pipeline_stages.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('pipeline_stages.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY pipeline_stages_delete_app ON pipeline_stages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipeline_stages_delete_app ON crm.pipeline_stages IS 'crm_ext 0eb49ed09efb5bd2ba70ce832b856988';


--
-- Name: pipeline_stages pipeline_stages_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipeline_stages_delete_multi ON crm.pipeline_stages FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('pipeline_stages.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('pipeline_stages.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY pipeline_stages_delete_multi ON pipeline_stages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipeline_stages_delete_multi ON crm.pipeline_stages IS 'crm_ext d641975f9270020868325d0f691e16d6';


--
-- Name: pipeline_stages pipeline_stages_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipeline_stages_insert_app ON crm.pipeline_stages FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('pipeline_stages.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('pipeline_stages.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY pipeline_stages_insert_app ON pipeline_stages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipeline_stages_insert_app ON crm.pipeline_stages IS 'crm_ext 49d32f7a9737ee0544a5b49347430c23';


--
-- Name: pipeline_stages pipeline_stages_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipeline_stages_insert_multi ON crm.pipeline_stages FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('pipeline_stages.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('pipeline_stages.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY pipeline_stages_insert_multi ON pipeline_stages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipeline_stages_insert_multi ON crm.pipeline_stages IS 'crm_ext 9eebf806d3ba80ca62595c3cb077b039';


--
-- Name: pipeline_stages pipeline_stages_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipeline_stages_select_app ON crm.pipeline_stages FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('pipeline_stages.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('pipeline_stages.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY pipeline_stages_select_app ON pipeline_stages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipeline_stages_select_app ON crm.pipeline_stages IS 'crm_ext 6dc2f2cf63aad0750909824ae0951158';


--
-- Name: pipeline_stages pipeline_stages_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipeline_stages_select_multi ON crm.pipeline_stages FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('pipeline_stages.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('pipeline_stages.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY pipeline_stages_select_multi ON pipeline_stages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipeline_stages_select_multi ON crm.pipeline_stages IS 'crm_ext 84958734b21996c74db413b4f0a7a05e';


--
-- Name: pipeline_stages pipeline_stages_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipeline_stages_update_app ON crm.pipeline_stages FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('pipeline_stages.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('pipeline_stages.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('pipeline_stages.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('pipeline_stages.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY pipeline_stages_update_app ON pipeline_stages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipeline_stages_update_app ON crm.pipeline_stages IS 'crm_ext d0da75145b0fe44858c6c3d42dff80bb';


--
-- Name: pipeline_stages pipeline_stages_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipeline_stages_update_multi ON crm.pipeline_stages FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('pipeline_stages.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('pipeline_stages.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('pipeline_stages.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('pipeline_stages.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY pipeline_stages_update_multi ON pipeline_stages; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipeline_stages_update_multi ON crm.pipeline_stages IS 'crm_ext 9fff6d8a19458373e7feabdbf39aee6e';


--
-- Name: pipelines; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.pipelines ENABLE ROW LEVEL SECURITY;

--
-- Name: pipelines pipelines_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipelines_delete_app ON crm.pipelines FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('pipelines.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('pipelines.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY pipelines_delete_app ON pipelines; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipelines_delete_app ON crm.pipelines IS 'crm_ext f9e07458e8770147d4c2ab6245b81cc3';


--
-- Name: pipelines pipelines_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipelines_delete_multi ON crm.pipelines FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('pipelines.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('pipelines.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY pipelines_delete_multi ON pipelines; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipelines_delete_multi ON crm.pipelines IS 'crm_ext d58aa9839d44ba5739a15ef65f61b1d1';


--
-- Name: pipelines pipelines_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipelines_insert_app ON crm.pipelines FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('pipelines.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('pipelines.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY pipelines_insert_app ON pipelines; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipelines_insert_app ON crm.pipelines IS 'crm_ext 21325769101e03655e5dba5d7fe6836c';


--
-- Name: pipelines pipelines_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipelines_insert_multi ON crm.pipelines FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('pipelines.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('pipelines.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY pipelines_insert_multi ON pipelines; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipelines_insert_multi ON crm.pipelines IS 'crm_ext fef49ba93261f7f3df9180852b913aff';


--
-- Name: pipelines pipelines_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipelines_select_app ON crm.pipelines FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('pipelines.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('pipelines.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY pipelines_select_app ON pipelines; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipelines_select_app ON crm.pipelines IS 'crm_ext 1bb518c1e0e11a06d6c64c70a3bb73e9';


--
-- Name: pipelines pipelines_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipelines_select_multi ON crm.pipelines FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('pipelines.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('pipelines.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY pipelines_select_multi ON pipelines; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipelines_select_multi ON crm.pipelines IS 'crm_ext 517c27306ee73d57e2bb5d0e2fda4f8e';


--
-- Name: pipelines pipelines_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipelines_update_app ON crm.pipelines FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('pipelines.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('pipelines.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('pipelines.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('pipelines.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY pipelines_update_app ON pipelines; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipelines_update_app ON crm.pipelines IS 'crm_ext 77bcd625525b7d78fc3c94ab329ed67b';


--
-- Name: pipelines pipelines_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY pipelines_update_multi ON crm.pipelines FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('pipelines.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('pipelines.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('pipelines.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('pipelines.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY pipelines_update_multi ON pipelines; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY pipelines_update_multi ON crm.pipelines IS 'crm_ext af0b18ce34497833fbe83b06bae05eea';


--
-- Name: plans; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.plans ENABLE ROW LEVEL SECURITY;

--
-- Name: plans plans_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY plans_all_definer ON crm.plans TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: plans plans_all_owner; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY plans_all_owner ON crm.plans TO crm_owner USING (true) WITH CHECK (true);


--
-- Name: plans plans_select_known; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY plans_select_known ON crm.plans FOR SELECT TO crm_app, crm_multi, crm_service, crm_admin USING (true);


--
-- Name: projects; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.projects ENABLE ROW LEVEL SECURITY;

--
-- Name: projects projects_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY projects_delete_app ON crm.projects FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('projects.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('projects.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('projects.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY projects_delete_app ON projects; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY projects_delete_app ON crm.projects IS 'crm_ext c163fd7adeb37a7f266f99fd8e231d9d';


--
-- Name: projects projects_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY projects_delete_multi ON crm.projects FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('projects.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('projects.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('projects.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY projects_delete_multi ON projects; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY projects_delete_multi ON crm.projects IS 'crm_ext 4cdd46120a9c1362b8b4c75888dddd07';


--
-- Name: projects projects_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY projects_insert_app ON crm.projects FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('projects.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('projects.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('projects.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY projects_insert_app ON projects; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY projects_insert_app ON crm.projects IS 'crm_ext 1a1d35f4d1a28e43c60ab0a03293fbf9';


--
-- Name: projects projects_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY projects_insert_multi ON crm.projects FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('projects.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('projects.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('projects.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY projects_insert_multi ON projects; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY projects_insert_multi ON crm.projects IS 'crm_ext fa655bb6fc2a1ab3195d23eea3afd9c4';


--
-- Name: projects projects_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY projects_select_app ON crm.projects FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('projects.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('projects.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('projects.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY projects_select_app ON projects; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY projects_select_app ON crm.projects IS 'crm_ext 531d3e09f6c5833cdfbad35f88ebe6b6';


--
-- Name: projects projects_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY projects_select_multi ON crm.projects FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('projects.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('projects.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('projects.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY projects_select_multi ON projects; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY projects_select_multi ON crm.projects IS 'crm_ext 4cdd46120a9c1362b8b4c75888dddd07';


--
-- Name: projects projects_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY projects_update_app ON crm.projects FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('projects.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('projects.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('projects.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('projects.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('projects.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('projects.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY projects_update_app ON projects; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY projects_update_app ON crm.projects IS 'crm_ext d343aac955fa427778efb448bb4edb3d';


--
-- Name: projects projects_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY projects_update_multi ON crm.projects FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('projects.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('projects.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('projects.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('projects.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('projects.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('projects.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY projects_update_multi ON projects; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY projects_update_multi ON crm.projects IS 'crm_ext be3b90c24a47ebe06efa7603b8bdc056';


--
-- Name: role_permissions; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.role_permissions ENABLE ROW LEVEL SECURITY;

--
-- Name: role_permissions role_permissions_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY role_permissions_all_definer ON crm.role_permissions TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: role_permissions role_permissions_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY role_permissions_delete_app ON crm.role_permissions FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('role_permissions.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('role_permissions.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY role_permissions_delete_app ON role_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY role_permissions_delete_app ON crm.role_permissions IS 'crm_ext 998e2b262714a3d21401fc431608aba0';


--
-- Name: role_permissions role_permissions_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY role_permissions_delete_multi ON crm.role_permissions FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('role_permissions.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('role_permissions.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY role_permissions_delete_multi ON role_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY role_permissions_delete_multi ON crm.role_permissions IS 'crm_ext cfe74c94f941e5dff7ee9ee4607c5582';


--
-- Name: role_permissions role_permissions_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY role_permissions_insert_app ON crm.role_permissions FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('role_permissions.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('role_permissions.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY role_permissions_insert_app ON role_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY role_permissions_insert_app ON crm.role_permissions IS 'crm_ext b34c69502738b83d6aba19e7bc15d33c';


--
-- Name: role_permissions role_permissions_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY role_permissions_insert_multi ON crm.role_permissions FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('role_permissions.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('role_permissions.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY role_permissions_insert_multi ON role_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY role_permissions_insert_multi ON crm.role_permissions IS 'crm_ext a4ea64110a7a388a94fd9518985a23e3';


--
-- Name: role_permissions role_permissions_not_above; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY role_permissions_not_above ON crm.role_permissions AS RESTRICTIVE TO crm_app, crm_multi USING (((CURRENT_USER = 'crm_definer'::name) OR (role = ANY (( SELECT crm.readable_roles() AS readable_roles)::text[])))) WITH CHECK (true);


--
-- Name: role_permissions role_permissions_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY role_permissions_select_app ON crm.role_permissions FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('role_permissions.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('role_permissions.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY role_permissions_select_app ON role_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY role_permissions_select_app ON crm.role_permissions IS 'crm_ext c3896156ca2c16a62d81c37a43abd8b4';


--
-- Name: role_permissions role_permissions_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY role_permissions_select_multi ON crm.role_permissions FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('role_permissions.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('role_permissions.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY role_permissions_select_multi ON role_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY role_permissions_select_multi ON crm.role_permissions IS 'crm_ext b70cfe4f344d42e8f0391f3d99c6dd9d';


--
-- Name: role_permissions role_permissions_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY role_permissions_update_app ON crm.role_permissions FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('role_permissions.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('role_permissions.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('role_permissions.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('role_permissions.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY role_permissions_update_app ON role_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY role_permissions_update_app ON crm.role_permissions IS 'crm_ext 40e231df82d9d2d52ab5533dce4e1092';


--
-- Name: role_permissions role_permissions_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY role_permissions_update_multi ON crm.role_permissions FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('role_permissions.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('role_permissions.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('role_permissions.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('role_permissions.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY role_permissions_update_multi ON role_permissions; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY role_permissions_update_multi ON crm.role_permissions IS 'crm_ext e8f5beca5b796565a1f1c521b5ae57c8';


--
-- Name: roles; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.roles ENABLE ROW LEVEL SECURITY;

--
-- Name: roles roles_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY roles_all_definer ON crm.roles TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: roles roles_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY roles_delete_app ON crm.roles FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('roles.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('roles.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY roles_delete_app ON roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY roles_delete_app ON crm.roles IS 'crm_ext d68598ee22eda8d1fccc3b9fa9bc7866';


--
-- Name: roles roles_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY roles_delete_multi ON crm.roles FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('roles.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('roles.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY roles_delete_multi ON roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY roles_delete_multi ON crm.roles IS 'crm_ext c5f6bbaadae7f69dc0f1bbbf65bd4989';


--
-- Name: roles roles_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY roles_insert_app ON crm.roles FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('roles.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('roles.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY roles_insert_app ON roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY roles_insert_app ON crm.roles IS 'crm_ext 32c4ec69b3399091a960d9f511de5a98';


--
-- Name: roles roles_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY roles_insert_multi ON crm.roles FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('roles.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('roles.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY roles_insert_multi ON roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY roles_insert_multi ON crm.roles IS 'crm_ext 1078c8bed359c6d8b2342f1d2d8a958e';


--
-- Name: roles roles_not_above; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY roles_not_above ON crm.roles AS RESTRICTIVE TO crm_app, crm_multi USING (((CURRENT_USER = 'crm_definer'::name) OR (rank <= ( SELECT crm.current_rank() AS current_rank)))) WITH CHECK (true);


--
-- Name: roles roles_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY roles_select_app ON crm.roles FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('roles.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('roles.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY roles_select_app ON roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY roles_select_app ON crm.roles IS 'crm_ext b66763d930a769978f44806c66f32331';


--
-- Name: roles roles_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY roles_select_multi ON crm.roles FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('roles.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('roles.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY roles_select_multi ON roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY roles_select_multi ON crm.roles IS 'crm_ext 6bcce7f2550c9458a8a5c9ec367c1bbd';


--
-- Name: roles roles_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY roles_update_app ON crm.roles FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('roles.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('roles.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('roles.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('roles.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY roles_update_app ON roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY roles_update_app ON crm.roles IS 'crm_ext c31f19c9385e8be07d3966a177b2e64d';


--
-- Name: roles roles_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY roles_update_multi ON crm.roles FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('roles.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('roles.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('roles.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('roles.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY roles_update_multi ON roles; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY roles_update_multi ON crm.roles IS 'crm_ext 38a0331effe244f01249590d56506d83';


--
-- Name: saved_filters; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.saved_filters ENABLE ROW LEVEL SECURITY;

--
-- Name: saved_filters saved_filters_by_visibility; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY saved_filters_by_visibility ON crm.saved_filters AS RESTRICTIVE TO crm_app, crm_multi USING (((CURRENT_USER = 'crm_definer'::name) OR (owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (visibility = 'organization'::text) OR (group_id = ANY (( SELECT crm.my_group_ids() AS my_group_ids)::uuid[]))));


--
-- Name: saved_filters saved_filters_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY saved_filters_delete_app ON crm.saved_filters FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('saved_filters.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('saved_filters.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('saved_filters.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY saved_filters_delete_app ON saved_filters; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY saved_filters_delete_app ON crm.saved_filters IS 'crm_ext 1f1bdbea51c266198cb1c669e3c40e86';


--
-- Name: saved_filters saved_filters_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY saved_filters_delete_multi ON crm.saved_filters FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('saved_filters.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('saved_filters.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('saved_filters.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY saved_filters_delete_multi ON saved_filters; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY saved_filters_delete_multi ON crm.saved_filters IS 'crm_ext be29eea1de762ccb10411b0eabe2c198';


--
-- Name: saved_filters saved_filters_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY saved_filters_insert_app ON crm.saved_filters FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('saved_filters.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('saved_filters.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('saved_filters.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY saved_filters_insert_app ON saved_filters; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY saved_filters_insert_app ON crm.saved_filters IS 'crm_ext d59058d84320141b4053c289610d4a1f';


--
-- Name: saved_filters saved_filters_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY saved_filters_insert_multi ON crm.saved_filters FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('saved_filters.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('saved_filters.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('saved_filters.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY saved_filters_insert_multi ON saved_filters; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY saved_filters_insert_multi ON crm.saved_filters IS 'crm_ext 2695ce004663c9cb78be953759cd88ee';


--
-- Name: saved_filters saved_filters_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY saved_filters_select_app ON crm.saved_filters FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('saved_filters.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('saved_filters.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('saved_filters.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY saved_filters_select_app ON saved_filters; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY saved_filters_select_app ON crm.saved_filters IS 'crm_ext fcbfa16c03795b0c5a6c2f359da65c60';


--
-- Name: saved_filters saved_filters_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY saved_filters_select_multi ON crm.saved_filters FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('saved_filters.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('saved_filters.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('saved_filters.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY saved_filters_select_multi ON saved_filters; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY saved_filters_select_multi ON crm.saved_filters IS 'crm_ext be29eea1de762ccb10411b0eabe2c198';


--
-- Name: saved_filters saved_filters_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY saved_filters_update_app ON crm.saved_filters FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('saved_filters.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('saved_filters.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('saved_filters.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('saved_filters.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('saved_filters.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('saved_filters.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY saved_filters_update_app ON saved_filters; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY saved_filters_update_app ON crm.saved_filters IS 'crm_ext fde552a320cda5c2c2475fe16e5d1f6e';


--
-- Name: saved_filters saved_filters_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY saved_filters_update_multi ON crm.saved_filters FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('saved_filters.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('saved_filters.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('saved_filters.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('saved_filters.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('saved_filters.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('saved_filters.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY saved_filters_update_multi ON saved_filters; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY saved_filters_update_multi ON crm.saved_filters IS 'crm_ext fc3446e1dea54c4acd606d2c0152143d';


--
-- Name: tags; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.tags ENABLE ROW LEVEL SECURITY;

--
-- Name: tags tags_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tags_delete_app ON crm.tags FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('tags.delete'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('tags.delete'::text) AS all_scope_org_id))));


--
-- Name: POLICY tags_delete_app ON tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tags_delete_app ON crm.tags IS 'crm_ext bff61650eeaa5b67d092f6a46e3ff6f4';


--
-- Name: tags tags_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tags_delete_multi ON crm.tags FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('tags.delete'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('tags.delete'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY tags_delete_multi ON tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tags_delete_multi ON crm.tags IS 'crm_ext 7158ed8961dceadf34453abf879e64d7';


--
-- Name: tags tags_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tags_insert_app ON crm.tags FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('tags.create'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('tags.create'::text) AS all_scope_org_id))));


--
-- Name: POLICY tags_insert_app ON tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tags_insert_app ON crm.tags IS 'crm_ext ba5f7cb045291ade0ea64fa6aa56ff01';


--
-- Name: tags tags_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tags_insert_multi ON crm.tags FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('tags.create'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('tags.create'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY tags_insert_multi ON tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tags_insert_multi ON crm.tags IS 'crm_ext a762875cce4e06c506c72174e0a75dc4';


--
-- Name: tags tags_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tags_select_app ON crm.tags FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('tags.read'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('tags.read'::text) AS all_scope_org_id))));


--
-- Name: POLICY tags_select_app ON tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tags_select_app ON crm.tags IS 'crm_ext 15e1e16fd6105a1453bdec8b9a12bf5f';


--
-- Name: tags tags_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tags_select_multi ON crm.tags FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('tags.read'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('tags.read'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY tags_select_multi ON tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tags_select_multi ON crm.tags IS 'crm_ext 1eb741f562d893984d269079fb9c47ce';


--
-- Name: tags tags_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tags_update_app ON crm.tags FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('tags.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('tags.update'::text) AS all_scope_org_id)))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('tags.update'::text) AS permitted_org_id)) AND (org_id = ( SELECT crm.all_scope_org_id('tags.update'::text) AS all_scope_org_id))));


--
-- Name: POLICY tags_update_app ON tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tags_update_app ON crm.tags IS 'crm_ext a31d9faf0e09a4efcf2a8f784e6989d7';


--
-- Name: tags tags_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tags_update_multi ON crm.tags FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('tags.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('tags.update'::text) AS all_scope_org_ids)::uuid[])))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('tags.update'::text) AS permitted_org_ids)::uuid[])) AND (org_id = ANY (( SELECT crm.all_scope_org_ids('tags.update'::text) AS all_scope_org_ids)::uuid[]))));


--
-- Name: POLICY tags_update_multi ON tags; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tags_update_multi ON crm.tags IS 'crm_ext 4a9f099892da4e74d0bacd410ee2a601';


--
-- Name: tasks; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.tasks ENABLE ROW LEVEL SECURITY;

--
-- Name: tasks tasks_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tasks_delete_app ON crm.tasks FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('tasks.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('tasks.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('tasks.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY tasks_delete_app ON tasks; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tasks_delete_app ON crm.tasks IS 'crm_ext c5a14c09cab0d684338f7abefcbfdd2a';


--
-- Name: tasks tasks_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tasks_delete_multi ON crm.tasks FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('tasks.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('tasks.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('tasks.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY tasks_delete_multi ON tasks; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tasks_delete_multi ON crm.tasks IS 'crm_ext f4fdf5caefdd81b550c8ae68a67835ab';


--
-- Name: tasks tasks_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tasks_insert_app ON crm.tasks FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('tasks.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('tasks.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('tasks.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY tasks_insert_app ON tasks; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tasks_insert_app ON crm.tasks IS 'crm_ext e96fb999574e0841cb8eaec3578763e8';


--
-- Name: tasks tasks_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tasks_insert_multi ON crm.tasks FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('tasks.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('tasks.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('tasks.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY tasks_insert_multi ON tasks; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tasks_insert_multi ON crm.tasks IS 'crm_ext c25d8a15f16c74bc7de5c985e34d1023';


--
-- Name: tasks tasks_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tasks_select_app ON crm.tasks FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('tasks.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('tasks.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('tasks.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY tasks_select_app ON tasks; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tasks_select_app ON crm.tasks IS 'crm_ext 271652f10d43fa31fa81c3fe891be3f1';


--
-- Name: tasks tasks_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tasks_select_multi ON crm.tasks FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('tasks.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('tasks.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('tasks.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY tasks_select_multi ON tasks; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tasks_select_multi ON crm.tasks IS 'crm_ext f4fdf5caefdd81b550c8ae68a67835ab';


--
-- Name: tasks tasks_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tasks_update_app ON crm.tasks FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('tasks.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('tasks.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('tasks.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('tasks.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('tasks.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('tasks.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY tasks_update_app ON tasks; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tasks_update_app ON crm.tasks IS 'crm_ext 17a00f552dd9b7b8d6d1e2b8b251576f';


--
-- Name: tasks tasks_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tasks_update_multi ON crm.tasks FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('tasks.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('tasks.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('tasks.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('tasks.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('tasks.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('tasks.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY tasks_update_multi ON tasks; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tasks_update_multi ON crm.tasks IS 'crm_ext 5c15907733f2eb14dc1055cd886a6462';


--
-- Name: tickets; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.tickets ENABLE ROW LEVEL SECURITY;

--
-- Name: tickets tickets_delete_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tickets_delete_app ON crm.tickets FOR DELETE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('tickets.delete'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('tickets.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('tickets.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY tickets_delete_app ON tickets; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tickets_delete_app ON crm.tickets IS 'crm_ext 8f840d62d0edb801f9816d5d401b131d';


--
-- Name: tickets tickets_delete_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tickets_delete_multi ON crm.tickets FOR DELETE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('tickets.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('tickets.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('tickets.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY tickets_delete_multi ON tickets; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tickets_delete_multi ON crm.tickets IS 'crm_ext 115145cb4d2ef801f0df3a6524fa79b8';


--
-- Name: tickets tickets_insert_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tickets_insert_app ON crm.tickets FOR INSERT TO crm_app WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('tickets.create'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('tickets.create'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('tickets.create'::text) AS all_scope_org_id)))));


--
-- Name: POLICY tickets_insert_app ON tickets; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tickets_insert_app ON crm.tickets IS 'crm_ext b8cb84043e6ad68da34a8510b4fc7422';


--
-- Name: tickets tickets_insert_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tickets_insert_multi ON crm.tickets FOR INSERT TO crm_multi WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('tickets.create'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('tickets.create'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('tickets.create'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY tickets_insert_multi ON tickets; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tickets_insert_multi ON crm.tickets IS 'crm_ext 4ae093c2a7f22e01eb631146cd3e2acf';


--
-- Name: tickets tickets_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tickets_select_app ON crm.tickets FOR SELECT TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('tickets.read'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('tickets.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('tickets.read'::text) AS all_scope_org_id)))));


--
-- Name: POLICY tickets_select_app ON tickets; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tickets_select_app ON crm.tickets IS 'crm_ext 611545afa019062663641014451e5c7d';


--
-- Name: tickets tickets_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tickets_select_multi ON crm.tickets FOR SELECT TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('tickets.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('tickets.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('tickets.read'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY tickets_select_multi ON tickets; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tickets_select_multi ON crm.tickets IS 'crm_ext 115145cb4d2ef801f0df3a6524fa79b8';


--
-- Name: tickets tickets_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tickets_update_app ON crm.tickets FOR UPDATE TO crm_app USING (((org_id = ( SELECT crm.permitted_org_id('tickets.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('tickets.read'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('tickets.read'::text) AS all_scope_org_id))))) WITH CHECK (((org_id = ( SELECT crm.permitted_org_id('tickets.update'::text) AS permitted_org_id)) AND ((owner_id = ANY (( SELECT crm.scope_user_ids('tickets.update'::text) AS scope_user_ids)::uuid[])) OR (org_id = ( SELECT crm.all_scope_org_id('tickets.update'::text) AS all_scope_org_id)))));


--
-- Name: POLICY tickets_update_app ON tickets; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tickets_update_app ON crm.tickets IS 'crm_ext f3ebeae334bfd74b1a2b212b421f6965';


--
-- Name: tickets tickets_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY tickets_update_multi ON crm.tickets FOR UPDATE TO crm_multi USING (((org_id = ANY (( SELECT crm.permitted_org_ids('tickets.read'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('tickets.read'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('tickets.read'::text) AS team_scope_keys)::text[]))))) WITH CHECK (((org_id = ANY (( SELECT crm.permitted_org_ids('tickets.update'::text) AS permitted_org_ids)::uuid[])) AND ((owner_id = ( SELECT crm.current_user_id() AS current_user_id)) OR (org_id = ANY (( SELECT crm.all_scope_org_ids('tickets.update'::text) AS all_scope_org_ids)::uuid[])) OR ((((org_id)::text || '/'::text) || (owner_id)::text) = ANY (( SELECT crm.team_scope_keys('tickets.update'::text) AS team_scope_keys)::text[])))));


--
-- Name: POLICY tickets_update_multi ON tickets; Type: COMMENT; Schema: crm; Owner: crm_owner
--

COMMENT ON POLICY tickets_update_multi ON crm.tickets IS 'crm_ext ae21fb02abdcf6f26d6f4ebe5bcfc0b9';


--
-- Name: users; Type: ROW SECURITY; Schema: crm; Owner: crm_owner
--

ALTER TABLE crm.users ENABLE ROW LEVEL SECURITY;

--
-- Name: users users_all_definer; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY users_all_definer ON crm.users TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: users users_select_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY users_select_app ON crm.users FOR SELECT TO crm_app USING ((id = ANY (( SELECT crm.visible_user_ids() AS visible_user_ids)::uuid[])));


--
-- Name: users users_select_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY users_select_multi ON crm.users FOR SELECT TO crm_multi USING ((id = ANY (( SELECT crm.visible_user_ids() AS visible_user_ids)::uuid[])));


--
-- Name: users users_update_app; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY users_update_app ON crm.users FOR UPDATE TO crm_app USING ((id = ANY (( SELECT crm.visible_user_ids() AS visible_user_ids)::uuid[]))) WITH CHECK ((id = ( SELECT crm.current_user_id() AS current_user_id)));


--
-- Name: users users_update_multi; Type: POLICY; Schema: crm; Owner: crm_owner
--

CREATE POLICY users_update_multi ON crm.users FOR UPDATE TO crm_multi USING ((id = ANY (( SELECT crm.visible_user_ids() AS visible_user_ids)::uuid[]))) WITH CHECK ((id = ( SELECT crm.current_user_id() AS current_user_id)));


--
-- Name: api_key_uses; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.api_key_uses ENABLE ROW LEVEL SECURITY;

--
-- Name: api_key_uses api_key_uses_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY api_key_uses_all_definer ON crm_private.api_key_uses TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: api_keys; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.api_keys ENABLE ROW LEVEL SECURITY;

--
-- Name: api_keys api_keys_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY api_keys_all_definer ON crm_private.api_keys TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: custom_references; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.custom_references ENABLE ROW LEVEL SECURITY;

--
-- Name: custom_references custom_references_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY custom_references_all_definer ON crm_private.custom_references TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: custom_unique_values; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.custom_unique_values ENABLE ROW LEVEL SECURITY;

--
-- Name: custom_unique_values custom_unique_values_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY custom_unique_values_all_definer ON crm_private.custom_unique_values TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: identity_changes; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.identity_changes ENABLE ROW LEVEL SECURITY;

--
-- Name: identity_providers; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.identity_providers ENABLE ROW LEVEL SECURITY;

--
-- Name: identity_providers identity_providers_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY identity_providers_all_definer ON crm_private.identity_providers TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: identity_providers identity_providers_all_owner; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY identity_providers_all_owner ON crm_private.identity_providers TO crm_owner USING (true) WITH CHECK (true);


--
-- Name: invitations; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.invitations ENABLE ROW LEVEL SECURITY;

--
-- Name: invitations invitations_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY invitations_all_definer ON crm_private.invitations TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: login_failures; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.login_failures ENABLE ROW LEVEL SECURITY;

--
-- Name: login_failures login_failures_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY login_failures_all_definer ON crm_private.login_failures TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: messages; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.messages ENABLE ROW LEVEL SECURITY;

--
-- Name: messages messages_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY messages_all_definer ON crm_private.messages TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: oauth_flows; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.oauth_flows ENABLE ROW LEVEL SECURITY;

--
-- Name: oauth_flows oauth_flows_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY oauth_flows_all_definer ON crm_private.oauth_flows TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: one_time_tokens; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.one_time_tokens ENABLE ROW LEVEL SECURITY;

--
-- Name: one_time_tokens one_time_tokens_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY one_time_tokens_all_definer ON crm_private.one_time_tokens TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: passwords; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.passwords ENABLE ROW LEVEL SECURITY;

--
-- Name: passwords passwords_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY passwords_all_definer ON crm_private.passwords TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: plan_overrides; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.plan_overrides ENABLE ROW LEVEL SECURITY;

--
-- Name: plan_overrides plan_overrides_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY plan_overrides_all_definer ON crm_private.plan_overrides TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: plan_overrides plan_overrides_select_owner; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY plan_overrides_select_owner ON crm_private.plan_overrides FOR SELECT TO crm_owner USING (true);


--
-- Name: platform_members; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.platform_members ENABLE ROW LEVEL SECURITY;

--
-- Name: platform_members platform_members_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY platform_members_all_definer ON crm_private.platform_members TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: refresh_tokens; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.refresh_tokens ENABLE ROW LEVEL SECURITY;

--
-- Name: refresh_tokens refresh_tokens_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY refresh_tokens_all_definer ON crm_private.refresh_tokens TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: schema_version; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.schema_version ENABLE ROW LEVEL SECURITY;

--
-- Name: schema_version schema_version_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY schema_version_all_definer ON crm_private.schema_version TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: schema_version schema_version_all_owner; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY schema_version_all_owner ON crm_private.schema_version TO crm_owner USING (true) WITH CHECK (true);


--
-- Name: sessions; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.sessions ENABLE ROW LEVEL SECURITY;

--
-- Name: sessions sessions_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY sessions_all_definer ON crm_private.sessions TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: settings; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.settings ENABLE ROW LEVEL SECURITY;

--
-- Name: settings settings_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY settings_all_definer ON crm_private.settings TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: settings settings_all_owner; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY settings_all_owner ON crm_private.settings TO crm_owner USING (true) WITH CHECK (true);


--
-- Name: signing_keys; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.signing_keys ENABLE ROW LEVEL SECURITY;

--
-- Name: signing_keys signing_keys_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY signing_keys_all_definer ON crm_private.signing_keys TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: usage; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.usage ENABLE ROW LEVEL SECURITY;

--
-- Name: usage usage_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY usage_all_definer ON crm_private.usage TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: usage_deltas; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.usage_deltas ENABLE ROW LEVEL SECURITY;

--
-- Name: usage_deltas usage_deltas_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY usage_deltas_all_definer ON crm_private.usage_deltas TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: user_identities; Type: ROW SECURITY; Schema: crm_private; Owner: crm_owner
--

ALTER TABLE crm_private.user_identities ENABLE ROW LEVEL SECURITY;

--
-- Name: user_identities user_identities_all_definer; Type: POLICY; Schema: crm_private; Owner: crm_owner
--

CREATE POLICY user_identities_all_definer ON crm_private.user_identities TO crm_definer USING (true) WITH CHECK (true);


--
-- Name: TABLE accounts; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.accounts TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.accounts TO crm_multi;
GRANT SELECT ON TABLE crm.accounts TO crm_backup;


--
-- Name: FUNCTION parent(account crm.accounts); Type: ACL; Schema: crm; Owner: crm_owner
--

REVOKE ALL ON FUNCTION crm.parent(account crm.accounts) FROM PUBLIC;
GRANT ALL ON FUNCTION crm.parent(account crm.accounts) TO crm_app;
GRANT ALL ON FUNCTION crm.parent(account crm.accounts) TO crm_multi;


--
-- Name: FUNCTION subsidiaries(account crm.accounts); Type: ACL; Schema: crm; Owner: crm_owner
--

REVOKE ALL ON FUNCTION crm.subsidiaries(account crm.accounts) FROM PUBLIC;
GRANT ALL ON FUNCTION crm.subsidiaries(account crm.accounts) TO crm_app;
GRANT ALL ON FUNCTION crm.subsidiaries(account crm.accounts) TO crm_multi;


--
-- Name: TABLE activities; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.activities TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.activities TO crm_multi;
GRANT SELECT ON TABLE crm.activities TO crm_backup;


--
-- Name: TABLE activity_links; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.activity_links TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.activity_links TO crm_multi;
GRANT SELECT ON TABLE crm.activity_links TO crm_backup;


--
-- Name: TABLE appointment_attendees; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.appointment_attendees TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.appointment_attendees TO crm_multi;
GRANT SELECT ON TABLE crm.appointment_attendees TO crm_backup;


--
-- Name: TABLE appointments; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.appointments TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.appointments TO crm_multi;
GRANT SELECT ON TABLE crm.appointments TO crm_backup;


--
-- Name: TABLE attachments; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.attachments TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.attachments TO crm_multi;
GRANT SELECT ON TABLE crm.attachments TO crm_backup;


--
-- Name: TABLE automations; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.automations TO crm_app;
GRANT SELECT ON TABLE crm.automations TO crm_backup;


--
-- Name: TABLE built_in_permissions; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT ON TABLE crm.built_in_permissions TO crm_app;
GRANT SELECT ON TABLE crm.built_in_permissions TO crm_definer;
GRANT SELECT ON TABLE crm.built_in_permissions TO crm_backup;


--
-- Name: TABLE built_in_roles; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT ON TABLE crm.built_in_roles TO crm_app;
GRANT SELECT ON TABLE crm.built_in_roles TO crm_definer;
GRANT SELECT ON TABLE crm.built_in_roles TO crm_backup;


--
-- Name: TABLE companies; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.companies TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.companies TO crm_multi;
GRANT SELECT ON TABLE crm.companies TO crm_backup;


--
-- Name: TABLE contact_accounts; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.contact_accounts TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.contact_accounts TO crm_multi;
GRANT SELECT ON TABLE crm.contact_accounts TO crm_backup;


--
-- Name: TABLE contact_emails; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.contact_emails TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.contact_emails TO crm_multi;
GRANT SELECT ON TABLE crm.contact_emails TO crm_backup;


--
-- Name: TABLE contact_phones; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.contact_phones TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.contact_phones TO crm_multi;
GRANT SELECT ON TABLE crm.contact_phones TO crm_backup;


--
-- Name: TABLE contacts; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.contacts TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.contacts TO crm_multi;
GRANT SELECT ON TABLE crm.contacts TO crm_backup;


--
-- Name: TABLE custom_fields; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.custom_fields TO crm_app;
GRANT SELECT ON TABLE crm.custom_fields TO crm_multi;
GRANT SELECT ON TABLE crm.custom_fields TO crm_backup;
GRANT SELECT ON TABLE crm.custom_fields TO crm_definer;


--
-- Name: TABLE daily_metrics; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT ON TABLE crm.daily_metrics TO crm_app;
GRANT SELECT ON TABLE crm.daily_metrics TO crm_multi;
GRANT SELECT ON TABLE crm.daily_metrics TO crm_backup;


--
-- Name: TABLE deal_contacts; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.deal_contacts TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.deal_contacts TO crm_multi;
GRANT SELECT ON TABLE crm.deal_contacts TO crm_backup;


--
-- Name: TABLE deal_stage_changes; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT ON TABLE crm.deal_stage_changes TO crm_app;
GRANT SELECT ON TABLE crm.deal_stage_changes TO crm_multi;
GRANT SELECT ON TABLE crm.deal_stage_changes TO crm_backup;


--
-- Name: TABLE deals; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.deals TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.deals TO crm_multi;
GRANT SELECT ON TABLE crm.deals TO crm_backup;


--
-- Name: TABLE estimate_items; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.estimate_items TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.estimate_items TO crm_multi;
GRANT SELECT ON TABLE crm.estimate_items TO crm_backup;


--
-- Name: TABLE estimates; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.estimates TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.estimates TO crm_multi;
GRANT SELECT ON TABLE crm.estimates TO crm_backup;


--
-- Name: TABLE group_members; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.group_members TO crm_app;
GRANT SELECT ON TABLE crm.group_members TO crm_backup;
GRANT SELECT,DELETE ON TABLE crm.group_members TO crm_definer;


--
-- Name: TABLE group_permissions; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.group_permissions TO crm_app;
GRANT SELECT ON TABLE crm.group_permissions TO crm_backup;
GRANT SELECT ON TABLE crm.group_permissions TO crm_definer;


--
-- Name: TABLE group_roles; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.group_roles TO crm_app;
GRANT SELECT ON TABLE crm.group_roles TO crm_backup;
GRANT SELECT ON TABLE crm.group_roles TO crm_definer;


--
-- Name: TABLE groups; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.groups TO crm_app;
GRANT SELECT ON TABLE crm.groups TO crm_backup;
GRANT SELECT ON TABLE crm.groups TO crm_definer;


--
-- Name: TABLE invoice_items; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.invoice_items TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.invoice_items TO crm_multi;
GRANT SELECT ON TABLE crm.invoice_items TO crm_backup;


--
-- Name: TABLE invoices; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.invoices TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.invoices TO crm_multi;
GRANT SELECT ON TABLE crm.invoices TO crm_backup;


--
-- Name: TABLE jobs; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.jobs TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.jobs TO crm_multi;
GRANT SELECT ON TABLE crm.jobs TO crm_backup;


--
-- Name: TABLE leads; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.leads TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.leads TO crm_multi;
GRANT SELECT ON TABLE crm.leads TO crm_backup;


--
-- Name: TABLE memberships; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT ON TABLE crm.memberships TO crm_app;
GRANT SELECT ON TABLE crm.memberships TO crm_multi;
GRANT SELECT ON TABLE crm.memberships TO crm_service;
GRANT SELECT ON TABLE crm.memberships TO crm_admin;
GRANT SELECT ON TABLE crm.memberships TO crm_backup;
GRANT SELECT,INSERT,UPDATE ON TABLE crm.memberships TO crm_definer;


--
-- Name: TABLE messages; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.messages TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.messages TO crm_multi;
GRANT SELECT ON TABLE crm.messages TO crm_backup;


--
-- Name: TABLE notifications; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.notifications TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.notifications TO crm_multi;
GRANT SELECT ON TABLE crm.notifications TO crm_backup;


--
-- Name: TABLE number_series; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.number_series TO crm_app;
GRANT SELECT ON TABLE crm.number_series TO crm_backup;


--
-- Name: TABLE opportunities; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.opportunities TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.opportunities TO crm_multi;
GRANT SELECT ON TABLE crm.opportunities TO crm_backup;


--
-- Name: TABLE organizations; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT ON TABLE crm.organizations TO crm_app;
GRANT SELECT ON TABLE crm.organizations TO crm_multi;
GRANT SELECT ON TABLE crm.organizations TO crm_service;
GRANT SELECT ON TABLE crm.organizations TO crm_admin;
GRANT SELECT ON TABLE crm.organizations TO crm_backup;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.organizations TO crm_definer;


--
-- Name: COLUMN organizations.slug; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT INSERT(slug) ON TABLE crm.organizations TO crm_service;
GRANT INSERT(slug) ON TABLE crm.organizations TO crm_admin;


--
-- Name: COLUMN organizations.name; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT UPDATE(name) ON TABLE crm.organizations TO crm_app;
GRANT UPDATE(name) ON TABLE crm.organizations TO crm_multi;
GRANT INSERT(name),UPDATE(name) ON TABLE crm.organizations TO crm_service;
GRANT INSERT(name),UPDATE(name) ON TABLE crm.organizations TO crm_admin;


--
-- Name: COLUMN organizations.country; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT UPDATE(country) ON TABLE crm.organizations TO crm_app;
GRANT UPDATE(country) ON TABLE crm.organizations TO crm_multi;
GRANT INSERT(country),UPDATE(country) ON TABLE crm.organizations TO crm_service;
GRANT INSERT(country),UPDATE(country) ON TABLE crm.organizations TO crm_admin;


--
-- Name: COLUMN organizations.currency; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT UPDATE(currency) ON TABLE crm.organizations TO crm_app;
GRANT UPDATE(currency) ON TABLE crm.organizations TO crm_multi;
GRANT INSERT(currency),UPDATE(currency) ON TABLE crm.organizations TO crm_service;
GRANT INSERT(currency),UPDATE(currency) ON TABLE crm.organizations TO crm_admin;


--
-- Name: COLUMN organizations.time_zone; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT UPDATE(time_zone) ON TABLE crm.organizations TO crm_app;
GRANT UPDATE(time_zone) ON TABLE crm.organizations TO crm_multi;
GRANT INSERT(time_zone),UPDATE(time_zone) ON TABLE crm.organizations TO crm_service;
GRANT INSERT(time_zone),UPDATE(time_zone) ON TABLE crm.organizations TO crm_admin;


--
-- Name: TABLE payments; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.payments TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.payments TO crm_multi;
GRANT SELECT ON TABLE crm.payments TO crm_backup;


--
-- Name: TABLE permissions; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT ON TABLE crm.permissions TO crm_app;
GRANT SELECT ON TABLE crm.permissions TO crm_definer;
GRANT SELECT ON TABLE crm.permissions TO crm_backup;


--
-- Name: TABLE pipeline_stages; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.pipeline_stages TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.pipeline_stages TO crm_multi;
GRANT SELECT ON TABLE crm.pipeline_stages TO crm_backup;


--
-- Name: TABLE pipelines; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.pipelines TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.pipelines TO crm_multi;
GRANT SELECT ON TABLE crm.pipelines TO crm_backup;


--
-- Name: TABLE plans; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT ON TABLE crm.plans TO crm_app;
GRANT SELECT ON TABLE crm.plans TO crm_multi;
GRANT SELECT ON TABLE crm.plans TO crm_service;
GRANT SELECT ON TABLE crm.plans TO crm_admin;
GRANT SELECT ON TABLE crm.plans TO crm_definer;
GRANT SELECT ON TABLE crm.plans TO crm_backup;


--
-- Name: TABLE projects; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.projects TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.projects TO crm_multi;
GRANT SELECT ON TABLE crm.projects TO crm_backup;


--
-- Name: TABLE role_permissions; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.role_permissions TO crm_app;
GRANT SELECT ON TABLE crm.role_permissions TO crm_backup;
GRANT SELECT ON TABLE crm.role_permissions TO crm_definer;


--
-- Name: TABLE roles; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.roles TO crm_app;
GRANT SELECT ON TABLE crm.roles TO crm_backup;
GRANT SELECT ON TABLE crm.roles TO crm_definer;


--
-- Name: TABLE saved_filters; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.saved_filters TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.saved_filters TO crm_multi;
GRANT SELECT ON TABLE crm.saved_filters TO crm_backup;


--
-- Name: TABLE tags; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.tags TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.tags TO crm_multi;
GRANT SELECT ON TABLE crm.tags TO crm_backup;


--
-- Name: TABLE tasks; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.tasks TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.tasks TO crm_multi;
GRANT SELECT ON TABLE crm.tasks TO crm_backup;


--
-- Name: TABLE tenants; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT ON TABLE crm.tenants TO crm_service;
GRANT SELECT ON TABLE crm.tenants TO crm_admin;
GRANT SELECT ON TABLE crm.tenants TO crm_backup;


--
-- Name: COLUMN tenants.slug; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT INSERT(slug) ON TABLE crm.tenants TO crm_service;
GRANT INSERT(slug) ON TABLE crm.tenants TO crm_admin;


--
-- Name: COLUMN tenants.name; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT INSERT(name),UPDATE(name) ON TABLE crm.tenants TO crm_service;
GRANT INSERT(name),UPDATE(name) ON TABLE crm.tenants TO crm_admin;


--
-- Name: COLUMN tenants.country; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT INSERT(country),UPDATE(country) ON TABLE crm.tenants TO crm_service;
GRANT INSERT(country),UPDATE(country) ON TABLE crm.tenants TO crm_admin;


--
-- Name: COLUMN tenants.currency; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT INSERT(currency),UPDATE(currency) ON TABLE crm.tenants TO crm_service;
GRANT INSERT(currency),UPDATE(currency) ON TABLE crm.tenants TO crm_admin;


--
-- Name: COLUMN tenants.time_zone; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT INSERT(time_zone),UPDATE(time_zone) ON TABLE crm.tenants TO crm_service;
GRANT INSERT(time_zone),UPDATE(time_zone) ON TABLE crm.tenants TO crm_admin;


--
-- Name: TABLE tickets; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.tickets TO crm_app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm.tickets TO crm_multi;
GRANT SELECT ON TABLE crm.tickets TO crm_backup;


--
-- Name: TABLE users; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT SELECT ON TABLE crm.users TO crm_app;
GRANT SELECT ON TABLE crm.users TO crm_multi;
GRANT SELECT ON TABLE crm.users TO crm_backup;
GRANT SELECT,INSERT,UPDATE ON TABLE crm.users TO crm_definer;


--
-- Name: COLUMN users.full_name; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT UPDATE(full_name) ON TABLE crm.users TO crm_app;
GRANT UPDATE(full_name) ON TABLE crm.users TO crm_multi;


--
-- Name: COLUMN users.time_zone; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT UPDATE(time_zone) ON TABLE crm.users TO crm_app;
GRANT UPDATE(time_zone) ON TABLE crm.users TO crm_multi;


--
-- Name: COLUMN users.locale; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT UPDATE(locale) ON TABLE crm.users TO crm_app;
GRANT UPDATE(locale) ON TABLE crm.users TO crm_multi;


--
-- Name: COLUMN users.avatar_url; Type: ACL; Schema: crm; Owner: crm_owner
--

GRANT UPDATE(avatar_url) ON TABLE crm.users TO crm_app;
GRANT UPDATE(avatar_url) ON TABLE crm.users TO crm_multi;


--
-- Name: TABLE api_key_uses; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE crm_private.api_key_uses TO crm_definer;
GRANT SELECT ON TABLE crm_private.api_key_uses TO crm_backup;


--
-- Name: TABLE api_keys; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE crm_private.api_keys TO crm_definer;
GRANT SELECT ON TABLE crm_private.api_keys TO crm_backup;


--
-- Name: TABLE custom_references; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.custom_references TO crm_definer;
GRANT SELECT ON TABLE crm_private.custom_references TO crm_backup;


--
-- Name: TABLE custom_unique_values; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.custom_unique_values TO crm_definer;
GRANT SELECT ON TABLE crm_private.custom_unique_values TO crm_backup;


--
-- Name: TABLE identity_changes; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT ON TABLE crm_private.identity_changes TO crm_backup;


--
-- Name: TABLE identity_providers; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,UPDATE ON TABLE crm_private.identity_providers TO crm_definer;
GRANT SELECT ON TABLE crm_private.identity_providers TO crm_backup;


--
-- Name: TABLE invitations; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.invitations TO crm_definer;
GRANT SELECT ON TABLE crm_private.invitations TO crm_backup;


--
-- Name: TABLE login_failures; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.login_failures TO crm_definer;
GRANT SELECT ON TABLE crm_private.login_failures TO crm_backup;


--
-- Name: TABLE messages; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.messages TO crm_definer;
GRANT SELECT ON TABLE crm_private.messages TO crm_backup;


--
-- Name: TABLE oauth_flows; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.oauth_flows TO crm_definer;
GRANT SELECT ON TABLE crm_private.oauth_flows TO crm_backup;


--
-- Name: TABLE one_time_tokens; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.one_time_tokens TO crm_definer;
GRANT SELECT ON TABLE crm_private.one_time_tokens TO crm_backup;


--
-- Name: TABLE passwords; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.passwords TO crm_definer;
GRANT SELECT ON TABLE crm_private.passwords TO crm_backup;


--
-- Name: TABLE plan_overrides; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.plan_overrides TO crm_definer;
GRANT SELECT ON TABLE crm_private.plan_overrides TO crm_backup;


--
-- Name: TABLE platform_members; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.platform_members TO crm_definer;
GRANT SELECT ON TABLE crm_private.platform_members TO crm_backup;


--
-- Name: TABLE refresh_tokens; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.refresh_tokens TO crm_definer;
GRANT SELECT ON TABLE crm_private.refresh_tokens TO crm_backup;


--
-- Name: TABLE schema_version; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT ON TABLE crm_private.schema_version TO crm_definer;
GRANT SELECT ON TABLE crm_private.schema_version TO crm_backup;


--
-- Name: TABLE sessions; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.sessions TO crm_definer;
GRANT SELECT ON TABLE crm_private.sessions TO crm_backup;


--
-- Name: TABLE settings; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT ON TABLE crm_private.settings TO crm_definer;
GRANT SELECT ON TABLE crm_private.settings TO crm_backup;


--
-- Name: TABLE signing_keys; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.signing_keys TO crm_definer;
GRANT SELECT ON TABLE crm_private.signing_keys TO crm_backup;


--
-- Name: TABLE usage; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.usage TO crm_definer;
GRANT SELECT ON TABLE crm_private.usage TO crm_backup;


--
-- Name: TABLE usage_deltas; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE crm_private.usage_deltas TO crm_definer;
GRANT SELECT ON TABLE crm_private.usage_deltas TO crm_backup;


--
-- Name: TABLE user_identities; Type: ACL; Schema: crm_private; Owner: crm_owner
--

GRANT SELECT,INSERT,DELETE ON TABLE crm_private.user_identities TO crm_definer;
GRANT SELECT ON TABLE crm_private.user_identities TO crm_backup;


--
-- PostgreSQL database dump complete
--


