-- A restored copy, or one made with CREATE DATABASE … TEMPLATE, delivers nothing until somebody says that it takes the original's place:
-- right for a copy, and silence where it was meant to.
select 'warning' as severity, 'crm_private.deployments' as object,
    'this is a copy, or it was released: nothing is handed out for delivery' as problem,
    'select crm.bind_deployment()' as fix
where not ($1 ->> 'bound')::boolean
