-- crm.enroll gives a table eight policies and its triggers; one that was dropped, disabled or renamed since leaves a gap that
-- nobody sees.
select
    'enrollment_incomplete' as name,
    'ERROR' as level,
    relation as object,
    problem as detail,
    format('select crm.enroll(%L)', relation) as remediation
from crm.check_enrollment();
