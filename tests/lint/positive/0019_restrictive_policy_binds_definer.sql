create policy of_this_year on crm.memberships as restrictive to crm_app using (created_at > date_trunc('year', now()));
