alter function crm.permitted_org_id(text) immutable;
