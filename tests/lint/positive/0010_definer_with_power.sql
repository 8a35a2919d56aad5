alter function crm.register(text, text, text, text) owner to current_user;
