-- What happens is called as crm.event_types() calls it.
comment on column crm.automations.trigger_event is 'What sets it off: an event, like deal.updated. event_types() tells which there are.';
