-- Estimates, invoices and payments: what the database computes and keeps of them.

create function crm_private.check_document()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_document_wrapper';

revoke all on function crm_private.check_document() from public;
grant execute on function crm_private.check_document() to crm_owner;

comment on function crm_private.check_document() is
    'Trigger _450_document of estimates and invoices: their number, default currency, what leaving draft needs and brings, and what stays from then on. Argument: estimate or invoice. Errors: 23514 (HTTP 422) with the detail {"column", "from"}, 23503 (HTTP 409) when an invoice with a number would be deleted.';

create function crm_private.compute_line()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'compute_line_wrapper';

revoke all on function crm_private.compute_line() from public;
grant execute on function crm_private.compute_line() to crm_owner;

comment on function crm_private.compute_line() is
    'Trigger _450_line of estimate_items and invoice_items: what a line comes to; the document is locked until the transaction ends. Argument: estimate or invoice. Errors: 23514 (HTTP 422) when the document is no draft, 22023 when there is no such document, or an amount does not fit.';

create function crm_private.sum_lines()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'sum_lines_wrapper';

revoke all on function crm_private.sum_lines() from public;
grant execute on function crm_private.sum_lines() to crm_owner;

comment on function crm_private.sum_lines() is
    'Triggers _700_sum_… of estimate_items and invoice_items: the amounts of the documents whose lines a statement changed. Argument: estimate or invoice. Errors: 22023 when an amount does not fit.';

create function crm_private.check_payment()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_payment_wrapper';

revoke all on function crm_private.check_payment() from public;
grant execute on function crm_private.check_payment() to crm_owner;

comment on function crm_private.check_payment() is
    'Trigger _450_payment of payments: account and currency are the invoice''s. Errors: 22023 when there is no such invoice, or the amount has more decimals than its currency.';

create function crm_private.settle_invoices()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'settle_invoices_wrapper';

revoke all on function crm_private.settle_invoices() from public;
grant execute on function crm_private.settle_invoices() to crm_owner;

comment on function crm_private.settle_invoices() is
    'Triggers _700_settle_… of payments: what was paid of the invoices whose payments a statement changed, and their status. Errors: 23514 (HTTP 422) for an invoice that takes no such payment.';
