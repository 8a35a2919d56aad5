create policy for_support on crm.contacts for select using (true);
